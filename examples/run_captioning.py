"""
Trains ArchBERT to describe architectures in words, or evaluates how well it does (paper, sections 3.3 and 5.5).

A decoder reads the tokens of a graph and writes a caption: a sentence, a paragraph, or a full description. Measured
are the claims of captions: the share of them that the graph shows (precision), and of the reference claims that are
made (recall), for the model alone and with every claim checked against the graph (product); and ROUGE, between
captions that never look at the graph and one reference against the others.

With no argument it takes archbert/autonet from the Hub, or generates a small AutoNet, and trains for ten minutes:

    accelerate launch examples/run_captioning.py

From a model that can already answer questions, which gets a decoder; every head stays in the one folder, and with
--only_decoder none of them changes:

    accelerate launch examples/run_captioning.py --init_from hub/models/archbert-mini --only_decoder true

On real networks (TVHF), and as in the paper:

    accelerate launch examples/run_captioning.py --init_from runs/captioning --data hub/datasets/tvhf
    accelerate launch examples/run_captioning.py --preset paper --optimizer adam --learning_rate 2e-5 --num_beams 10

Evaluation only; going on after an interruption:

    accelerate launch examples/run_captioning.py --init_from runs/captioning --max_steps 0 --eval_split test
    accelerate launch examples/run_captioning.py --save_steps 500 --resume true
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transformers import HfArgumentParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

from caption_evaluation import MODEL, Captioned, captions_table, evaluate_captions
from captions import CAPTION_COLUMNS, add_decoder, caption_rows
from multitask import CaptionBlocks
from multitask_loop import train_only
from real_networks import load_real

from new_model import model_of, overrides_of
from reading import find_data, load_rows, load_split
from training_loop import (
    Trainer,
    TrainingArguments,
    finish,
    make_accelerator,
    prepare,
    print_table,
    provenance,
)


@dataclass
class CaptioningArguments(TrainingArguments):
    """Arguments of captioning."""

    data: str | None = field(
        default=None,
        metadata={"help": "folder or Hub id of AutoNet, or folder of TVHF; default: archbert/autonet, else generated"},
    )
    output_dir: str = field(default="runs/captioning", metadata={"help": "where everything is written"})
    eval_split: Literal["validation", "test", "test_new"] = field(  # type: ignore[assignment]
        default="validation", metadata={"help": "of the data; test_new (families of the latest year) is of TVHF"}
    )
    captions_per_step: int = field(default=32, metadata={"help": "paragraphs of a block, or as much in other lengths"})
    decoder_layers: int | None = field(default=None, metadata={"help": "of a new decoder; default: the preset's"})
    only_decoder: bool = field(
        default=False, metadata={"help": "leave all but the decoder as it is; other tasks then keep their results"}
    )
    mam_loss_weight: float = field(default=0.0, metadata={"help": "alpha of masked architecture modeling"})
    num_beams: int = field(default=1, metadata={"help": "of the evaluation; the paper has 10"})


def main(arguments: CaptioningArguments) -> list[dict[str, Any]]:
    """Train, evaluate and save; returns the tables of results."""
    accelerator = make_accelerator(arguments)
    prepare(arguments)

    ###############
    # Data
    ###############
    with accelerator.main_process_first():
        data = find_data(arguments.data, arguments.cache_dir, arguments.seed)
        train = load_captioned(data, "train", arguments.limit_train, arguments.cache_dir)
        validation = load_captioned(data, arguments.eval_split, arguments.limit_validation, arguments.cache_dir)

    ###############
    # Model
    ###############
    overrides = overrides_of(arguments.overrides, mam_loss_weight=arguments.mam_loss_weight)
    texts = [row["text"] for row in train.rows.rows()]
    model, processor = model_of(arguments, texts, overrides)
    more = {} if arguments.decoder_layers is None else {"decoder_layers": arguments.decoder_layers}
    add_decoder(model, processor, texts, arguments.preset, **more)
    if arguments.only_decoder:
        train_only(model, ["decoder."])
    fold = arguments.preset != "paper" if arguments.fold is None else arguments.fold
    with accelerator.main_process_first():
        train.split.encode(processor, fold)
        validation.split.encode(processor, fold)

    ###############
    # Training
    ###############
    blocks = CaptionBlocks(
        train.split.encodings, train.rows, processor, model.config,
        graphs=arguments.graphs_per_step, captions=arguments.captions_per_step, seed=arguments.seed,
    )  # fmt: skip
    trainer = Trainer(accelerator, model, blocks, arguments)
    trainer.train()

    ###############
    # Evaluation
    ###############
    results = evaluate_captions(trainer.unwrapped, processor, train, validation, arguments.num_beams, accelerator)
    tables = [
        captions_table(length, figures, f"{Path(data).name}, {arguments.eval_split}") | {
            "training_data": f"{len(train.split)} architectures",
            "steps": trainer.state.step,
            "training_seconds": round(trainer.state.seconds, 1),
            "num_beams": arguments.num_beams,
            **provenance("run_captioning.py", accelerator, arguments.seed),
            "results": figures,
        }
        for length, figures in results.items()
    ]  # fmt: skip
    finish(trainer, processor, arguments, tables)
    if accelerator.is_main_process:
        report(tables, arguments)
    return tables


def load_captioned(source: str, split: str, limit: int | None, cache_dir: str) -> Captioned:
    """A split of AutoNet or TVHF with its captions.

    Args:
        source: folder or Hub id.
        split: of the data.
        limit: only the first so many architectures.
        cache_dir: where graph tokens are kept.
    """
    columns = (*CAPTION_COLUMNS, "claims")
    if (Path(source) / "clones").is_dir():
        networks = load_real(source, split, cache_dir)
        return Captioned(
            networks.split.part(0, limit), caption_rows(source, split, list(networks.index), columns)[:limit]
        )
    arch_ids = load_rows(source, "architectures", split)["arch_id"][:limit]
    return Captioned(load_split(source, split, limit, cache_dir), caption_rows(source, split, arch_ids, columns))


def report(tables: Sequence[dict[str, Any]], arguments: CaptioningArguments) -> None:
    """Print the results, a caption, and how to go on."""
    for one in tables:
        print_table(one)
    print(f"\nThe first one: {tables[0]['results'][MODEL]['examples'][0]}")
    folder = arguments.output_dir
    print(f"""
Saved in {folder}. To go on:
  describe one  python -c "from archbert import pipeline; write = pipeline('architecture-captioning', '{folder}'); \\
                print(write({{'architecture': 'resnet', 'length': 'paragraph'}})['caption'])"
  more training accelerate launch examples/run_captioning.py --init_from {folder} --time_budget 1800 \\
                --output_dir {folder}-2
  publish it    python -m archbert.release --checkpoint {folder} --name NAME""")


if __name__ == "__main__":
    main(HfArgumentParser(CaptioningArguments).parse_args_into_dataclasses()[0])
