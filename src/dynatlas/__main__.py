"""`python -m dynatlas`: the command line."""

from dynatlas.cli import main

raise SystemExit(main())
