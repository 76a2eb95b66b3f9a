"""Internal representation dynamics and geometry in recurrent networks (Horoi, Lajoie and Wolf 2020)."""
