"""The tests of this folder need a browser: `make test-browser` runs them, `make test` leaves them out."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
collect_ignore_glob = [] if os.environ.get("ARCHBERT_BROWSER") else ["test_*.py"]
