"""Past runs and jobs: `python -m nsjax.runs list|show|compare|submit`."""

import sys

from nsjax.runs.cli import main

sys.exit(main())
