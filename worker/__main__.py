"""`python -m worker` is `assistant-worker`."""

import sys

from worker.cli import main

sys.exit(main())
