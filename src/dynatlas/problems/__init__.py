"""What networks learn, from data or tasks: batches to train on, others that are held out, the sizes they ask for."""
