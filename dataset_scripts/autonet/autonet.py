"""AutoNet as a `datasets` builder: architectures, descriptions and questions, generated where it runs.

Use the class in any `datasets` from 3.6::

    builder = AutoNet(config_name="aqa", num_train=2000, num_validation=300, num_proc=4)
    builder.download_and_prepare()
    data = builder.as_dataset()

or the file as a loading script in `datasets` 3. Its configs share one generated folder in the cache.
"""

# ruff: noqa: F401
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq

from processing_archbert.ops_archbert import EXTRACTION_VERSION

# `datasets` 3 copies only the modules that the script itself imports, so all of them are named here, without a
# comment on their lines, which it would take for an address.
from .boundary_cells_autonet import __doc__ as _boundary_cells
from .branching_styles_autonet import __doc__ as _branching_styles
from .build_autonet import __doc__ as _build
from .caption_phrases_autonet import __doc__ as _caption_phrases
from .captions_autonet import __doc__ as _captions
from .card_autonet import __doc__ as _card
from .claims_autonet import __doc__ as _claims
from .descriptions_autonet import __doc__ as _descriptions
from .draft_autonet import __doc__ as _draft
from .files_autonet import __doc__ as _files
from .fusion_cells_autonet import __doc__ as _fusion_cells
from .generate_autonet import SCHEMAS, SPLITS, generate
from .graph_cells_autonet import __doc__ as _graph_cells
from .hard_facts_autonet import __doc__ as _hard_facts
from .hard_forms_autonet import __doc__ as _hard_forms
from .hard_questions_autonet import __doc__ as _hard_questions
from .hard_types_autonet import __doc__ as _hard_types
from .hard_views_autonet import __doc__ as _hard_views
from .held_out_sequence_styles_autonet import __doc__ as _held_out_sequence_styles
from .held_out_vision_styles_autonet import __doc__ as _held_out_vision_styles
from .layer_phrases_autonet import __doc__ as _layer_phrases
from .manifest_autonet import __doc__ as _manifest
from .mixing_cells_autonet import __doc__ as _mixing_cells
from .networks_autonet import __doc__ as _networks
from .operations_autonet import __doc__ as _operations
from .parts_autonet import __doc__ as _parts
from .patch_cells_autonet import __doc__ as _patch_cells
from .questions_autonet import __doc__ as _questions
from .samples_autonet import __doc__ as _samples
from .sequence_cells_autonet import __doc__ as _sequence_cells
from .sequence_styles_autonet import __doc__ as _sequence_styles
from .transformer_styles_autonet import __doc__ as _transformer_styles
from .vision_cells_autonet import __doc__ as _vision_cells
from .vision_styles_autonet import __doc__ as _vision_styles

_DESCRIPTION = "Random neural architectures with descriptions and questions; every label is computed from the graph."


@dataclass
class AutoNetConfig(datasets.BuilderConfig):
    """What to generate; the defaults are the published sizes, for the paper's two sets together.

    Args:
        num_train: number of architectures to train on.
        num_validation: number of architectures to validate on.
        num_test: number of architectures of styles that the other splits have not; with 0 there is no such split.
        seed: decides everything.
        num_proc: number of processes; changes no byte and is not part of the cache's key.
    """

    num_train: int = 20_000
    num_validation: int = 2_000
    num_test: int = 1_000
    seed: int = 0
    num_proc: int = 1

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: datasets.Features | None = None) -> str:
        """The key of this config in the cache."""
        kept = {name: value for name, value in config_kwargs.items() if name != "num_proc"}
        return super().create_config_id(kept, custom_features=custom_features)


class AutoNet(datasets.GeneratorBasedBuilder):
    """AutoNet (paper, section 4.2) with the configs `architectures`, `descriptions`, `aqa`, `aqa_hard` and `captions`.

    They are joined by `arch_id`; see the card for the columns.
    """

    VERSION = datasets.Version("2.0.0")
    BUILDER_CONFIG_CLASS = AutoNetConfig
    BUILDER_CONFIGS = [
        AutoNetConfig(name="architectures", version=VERSION, description="Networks and their graphs."),
        AutoNetConfig(name="descriptions", version=VERSION, description="True and false texts on architectures."),
        AutoNetConfig(name="aqa", version=VERSION, description="Questions to architectures and their answers."),
        AutoNetConfig(name="aqa_hard", version=VERSION, description="Hard questions, and some that cannot be told."),
        AutoNetConfig(name="captions", version=VERSION, description="Reference descriptions and their claims."),
    ]
    DEFAULT_CONFIG_NAME = "aqa"

    def _info(self) -> datasets.DatasetInfo:
        features = datasets.Features.from_arrow_schema(SCHEMAS[self.config.name])
        return datasets.DatasetInfo(description=_DESCRIPTION, features=features, license="apache-2.0")

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        folder = self._generated() / self.config.name
        paths = {split: sorted(str(path) for path in folder.glob(f"{split}-*.parquet")) for split in SPLITS}
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"paths": files}) for split, files in paths.items() if files
        ]

    def _generate_examples(self, paths: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        key = 0
        for path in paths:
            for batch in pq.ParquetFile(path).iter_batches():
                for row in batch.to_pylist():
                    yield key, row
                    key += 1

    def _generated(self) -> Path:
        """The folder with all configs of this size and seed, generated by the first config that needs it."""
        config = self.config
        sizes = (config.num_train, config.num_validation, config.num_test)
        arguments = [str(self.VERSION), EXTRACTION_VERSION, *sizes, config.seed]
        key = hashlib.blake2b(json.dumps(arguments).encode(), digest_size=8).hexdigest()
        folder = Path(self._cache_dir_root) / "autonet-generated" / key
        generate(
            config.num_train, config.num_validation, config.seed, folder, config.num_proc, num_test=config.num_test
        )
        return folder
