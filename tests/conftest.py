"""What every test session shares: no network, one thread and a folder for remote code of its own per worker."""

import atexit
import os
import shutil
import tempfile

for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(name, "1")
for name in ("OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
    os.environ.setdefault(name, "1" if name == "OMP_NUM_THREADS" else "false")
if "HF_MODULES_CACHE" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that copy the code of one checkpoint into one folder at once see it half copied.
    os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="remote-code-")
    atexit.register(shutil.rmtree, os.environ["HF_MODULES_CACHE"], ignore_errors=True)
