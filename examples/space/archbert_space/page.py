"""The page: networks on the left, a tab for each task on the right; `build` makes the app, `launch` starts it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from . import views
from .endpoints import endpoints
from .limits import Limits
from .networks import CONFIG, FILE, FILE_KINDS, KINDS, NAME, DemoError, Given, Network, can_be_built
from .pictures import MAX_DETAIL
from .results import Result
from .tasks import MAX_HITS, Tasks
from .uploads import upload_limit

FOLDER = Path(__file__).parent
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
WORK: dict[str, Any] = {**PRIVATE, "concurrency_id": "work", "show_progress": "minimal"}
FIRST, SECOND = "resnet", "convnext"
KIND_LABELS = [("Name", NAME), ("Config", CONFIG), ("File", FILE)]
BY_TEXT, BY_NETWORK = "text", "network"
THREADS = 8
"""Of requests; `Limits.at_once` of them work, the others send files and errors. Every thread has memory of its own."""
CACHE_SECONDS = (600, 1800)
"""How often uploaded files are looked through, and after how long they are deleted."""
STATEMENTS = ("It uses batch normalization.", "It has more convolutions than linear layers.", "It has 12 layers.",
              "A transformer with RMSNorm.")  # fmt: skip
RESPECTS = ("It uses batch normalization.", "A convolutional network.", "It has skip connections.")
QUESTIONS = ("Which pooling layers are used?", "What are the kernel sizes of the Conv2d layers?", "How many layers?",
             "Which normalization is used?", "Which optimizer was used?")  # fmt: skip
QUERIES = ("a convolutional classifier of images", "a transformer with rotary position embeddings",
           "an encoder-decoder for text", "it has a state-space layer")  # fmt: skip
_log = logging.getLogger(__name__)


class Picker(NamedTuple):
    """The fields by which a network is given, and the line that says what was read."""

    kind: gr.Radio
    name: gr.Dropdown
    config: gr.Textbox
    file: gr.File
    status: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        """What `given` takes."""
        return [self.kind, self.name, self.config, self.file]


class View(NamedTuple):
    """A drawing, its level of detail, and what is drawn: the network that was given and the nodes that are marked."""

    picture: gr.HTML
    detail: gr.Slider
    drawn: gr.State

    @property
    def outputs(self) -> list[Any]:
        """What an event gives to show a drawing."""
        return [self.picture, self.detail, self.drawn]


def given(kind: str, name: str | None, config: str | None, file: str | None) -> Given:
    """What is in the fields of a picker."""
    return Given(kind, {NAME: name, CONFIG: config, FILE: file}.get(kind) or "")


class Page:
    """The components and events of the page.

    Args:
        tasks: what answers.
        names: names of networks to choose from.
    """

    def __init__(self, tasks: Tasks, names: Sequence[str]) -> None:
        self.tasks, self.names = tasks, names
        self.pickers: list[Picker] = []

    def build(self) -> gr.Blocks:
        """The app."""
        with gr.Blocks(title="ArchBERT", analytics_enabled=False, fill_width=True, delete_cache=CACHE_SECONDS) as app:
            gr.HTML(_header(self.tasks))
            with gr.Row(elem_classes="ab-main"):
                with gr.Column(scale=0, min_width=330, elem_classes="ab-side"):
                    first = self._picker("Network", FIRST, "first")
                    with gr.Column(visible=False, elem_classes="ab-second") as second_group:
                        second = self._picker("Second network", SECOND, "second")
                with gr.Column(scale=1, min_width=330), gr.Tabs(elem_classes="ab-tabs"):
                    self._tabs(first, second, second_group)
            for picker in self.pickers:
                app.load(self._read, picker.inputs, picker.status, **WORK)
            self._api()
        return app

    def _picker(self, label: str, name: str, identifier: str) -> Picker:
        gr.HTML(f'<h2 class="ab-title">{label}</h2>')
        kind = gr.Radio(KIND_LABELS, value=NAME, show_label=False, container=False, elem_id=f"{identifier}-kind",
                        elem_classes="ab-segments")  # fmt: skip
        names = gr.Dropdown(self.names, value=name, allow_custom_value=True, label="Model type or Hub id",
                            info="bert, t5, owner/name \u2026", elem_id=f"{identifier}-name")  # fmt: skip
        config = gr.Textbox(label="config.json", lines=8, max_lines=14, visible=False, elem_id=f"{identifier}-config",
                            placeholder='{"model_type": "bert", "num_hidden_layers": 4}')  # fmt: skip
        file = gr.File(label=f"Up to {self.tasks.limits.upload_mib} MiB: {FILE_KINDS}", visible=False, height=150,
                       elem_id=f"{identifier}-file")  # fmt: skip
        status = gr.HTML(elem_id=f"{identifier}-status", elem_classes="ab-status")
        picker = Picker(kind, names, config, file, status)
        self.pickers.append(picker)
        kind.change(lambda chosen: [gr.update(visible=chosen == k) for k in KINDS], kind, [names, config, file],
                    queue=False, show_progress="hidden", **PRIVATE)  # fmt: skip
        changes = [kind.change, names.change, config.blur, file.upload, file.clear]
        gr.on(changes, self._read, picker.inputs, status, trigger_mode="always_last", **WORK)
        return picker

    def _read(self, *fields: Any) -> str:
        source = given(*fields)
        if not source.value:
            return ""
        try:
            return views.network_line(self.tasks.networks.read(source))
        except Exception as error:
            return views.error_line(_told(error))

    # Tabs

    def _tabs(self, first: Picker, second: Picker, second_group: gr.Column) -> None:
        """A tab for each task; the second network is shown where a task takes two."""
        tabs: tuple[tuple[str, bool, Callable[..., None], str], ...] = (
            ("Reasoning", False, self._reasoning, "Is a statement about the network right?"),
            ("Clones", True, self._clones, "Are the two networks alike?"),
            (
                "Clones with a text",
                True,
                self._bimodal,
                "Are the two networks alike in what a text names?",
            ),
            ("Questions", False, self._questions, "Ask the network about itself."),
            ("Caption", False, self._captions, "The network in words and numbers."),
            ("Search", False, self._search, "Find networks by a description, or by a network."),
            ("Diff", True, self._diff, "What changed from the first network to the second?"),
        )
        for title, pair, make, what in tabs:
            with gr.Tab(title) as tab:
                gr.HTML(f'<p class="ab-what">{what}</p>')
                make(first, second)
            tab.select(lambda shown=pair: gr.update(visible=shown), None, second_group, queue=False,
                       show_progress="hidden", **PRIVATE)  # fmt: skip

    def _reasoning(self, first: Picker, second: Picker) -> None:
        statement, button = self._line("Statement", "It uses \u2026", STATEMENTS, "Judge", "statement")
        card, view = (
            _card("judgement"),
            self._view("The network is drawn here, with what decides the answer marked."),
        )
        self._on_text(statement, button, self.tasks.reasoning, first, card, view)

    def _questions(self, first: Picker, second: Picker) -> None:
        question, button = self._line("Question", "Which \u2026, how many \u2026", QUESTIONS, "Ask", "question")
        card, view = _card("answer"), self._view("The network is drawn here, with what shows the answer marked.")
        self._on_text(question, button, self.tasks.question, first, card, view)

    def _captions(self, first: Picker, second: Picker) -> None:
        button = gr.Button("Describe", variant="primary", elem_id="caption-button", elem_classes="ab-run")
        card, view = _card("caption"), self._view("The network is drawn here.")

        def run(*fields: Any) -> Iterator[list[Any]]:
            yield from self._with_picture(lambda: self.tasks.caption(given(*fields)), [given(*fields)])

        button.click(run, first.inputs, [card, *view.outputs], **WORK)

    def _on_text(self, box: gr.Textbox, button: gr.Button, task: Callable[[Given, str], Result], picker: Picker,
                 card: gr.HTML, view: View) -> None:  # fmt: skip
        def run(typed: str, *fields: Any) -> Iterator[list[Any]]:
            yield from self._with_picture(lambda: task(given(*fields), typed), [given(*fields)])

        gr.on([button.click, box.submit], run, [box, *picker.inputs], [card, *view.outputs], **WORK)

    def _clones(self, first: Picker, second: Picker) -> None:
        button = gr.Button("Compare", variant="primary", elem_id="clones-button", elem_classes="ab-run")
        card, views_ = _card("clones"), self._two_views()

        def run(*fields: Any) -> Iterator[list[Any]]:
            pair = given(*fields[:4]), given(*fields[4:])
            yield from self._with_picture(lambda: self.tasks.clones(*pair), pair)

        outputs = [card, *views_[0].outputs, *views_[1].outputs]
        button.click(run, [*first.inputs, *second.inputs], outputs, **WORK)

    def _bimodal(self, first: Picker, second: Picker) -> None:
        box, button = self._line("Text", "Both \u2026", RESPECTS, "Compare", "respect")
        card, views_ = _card("bimodal"), self._two_views()

        def run(typed: str, *fields: Any) -> Iterator[list[Any]]:
            pair = given(*fields[:4]), given(*fields[4:])
            yield from self._with_picture(lambda: self.tasks.clones(*pair, typed or ""), pair)

        outputs = [card, *views_[0].outputs, *views_[1].outputs]
        gr.on([button.click, box.submit], run, [box, *first.inputs, *second.inputs], outputs, **WORK)

    def _search(self, first: Picker, second: Picker) -> None:
        by = gr.Radio([("By text", BY_TEXT), ("By the network chosen", BY_NETWORK)], value=BY_TEXT, show_label=False,
                      container=False, elem_classes="ab-segments", elem_id="search-by")  # fmt: skip
        query, button = self._line("Description", "a small \u2026", QUERIES, "Search", "query")
        with gr.Row():
            where = gr.Textbox(label="Filter", placeholder="parameters<50M and attention_layers>0", elem_id="where")
            limit = gr.Slider(1, MAX_HITS, 5, step=1, label="Networks", elem_id="limit")
        card = _card("hits")
        chosen = gr.Dropdown([], label="Draw", visible=False, elem_id="hit")
        view = self._view("The best of them is drawn here.")

        def run(way: str, typed: str, facts: str, most: int, *fields: Any) -> Iterator[list[Any]]:
            yield from self._found(given(*fields) if way == BY_NETWORK else typed, facts, most)

        inputs, outputs = [by, query, where, limit, *first.inputs], [card, chosen, *view.outputs]
        gr.on([button.click, query.submit, where.submit], run, inputs, outputs, **WORK)
        chosen.input(lambda name: self._drawn(Given(NAME, name or ""), 0, ()), chosen, view.outputs, **WORK)

    def _diff(self, first: Picker, second: Picker) -> None:
        button = gr.Button("Compare", variant="primary", elem_id="diff-button", elem_classes="ab-run")
        card, view = _card("changes"), self._view("Both networks are drawn here, with what changed marked.", False)

        def run(detail: float, *fields: Any) -> Iterator[list[Any]]:
            yield [gr.skip(), gr.skip(), gr.skip()]
            try:
                result, found = self.tasks.difference(given(*fields[:4]), given(*fields[4:]), int(detail))
            except Exception as error:
                yield [views.error_card(_told(error)), views.placeholder("Nothing to draw."), gr.update(visible=False)]
                return
            names = " and ".join(network.name for network in result.networks)
            drawn = views.picture(found["svg"], names) if found["svg"] else views.no_picture(found["picture"])
            yield [views.result_card(result), drawn, gr.update(visible=True)]

        inputs, outputs = [view.detail, *first.inputs, *second.inputs], [card, view.picture, view.detail]
        gr.on([button.click, view.detail.release], run, inputs, outputs, **WORK)

    # Parts of tabs

    def _line(self, label: str, hint: str, examples: Sequence[str], verb: str, name: str) -> tuple[Any, Any]:
        """A field for one line of text, its button, and examples that fill the field."""
        with gr.Row(elem_classes="ab-ask"):
            box = gr.Textbox(label=label, placeholder=hint, scale=1, max_length=self.tasks.limits.text_characters,
                             elem_id=name, submit_btn=False)  # fmt: skip
            button = gr.Button(verb, variant="primary", scale=0, min_width=110, elem_id=f"{name}-button")
        gr.Examples([[example] for example in examples], box, label="For example", **PRIVATE)
        return box, button

    def _view(self, message: str, redraws: bool = True) -> View:
        picture = gr.HTML(views.placeholder(message), elem_classes="ab-picture")
        detail = gr.Slider(0, MAX_DETAIL, 0, step=1, visible=False, label="Levels opened (0: what is readable)",
                           elem_classes="ab-detail")  # fmt: skip
        view = View(picture, detail, gr.State(None))
        if redraws:
            detail.release(self._redrawn, [detail, view.drawn], picture, trigger_mode="always_last", **WORK)
        return view

    def _two_views(self) -> tuple[View, View]:
        with gr.Row():
            with gr.Column(min_width=300):
                first = self._view("The first network is drawn here.")
            with gr.Column(min_width=300):
                second = self._view("The second network is drawn here.")
        return first, second

    def _with_picture(self, task: Callable[[], Result], sources: Sequence[Given]) -> Iterator[list[Any]]:
        """The card of a result as soon as there is one, then the drawings of its networks."""
        kept = [gr.skip() for _ in range(3 * len(sources))]
        try:
            result = task()
        except Exception as error:
            nothing = [views.placeholder("Nothing to draw."), gr.update(visible=False), None]
            yield [views.error_card(_told(error)), *(nothing * len(sources))]
            return
        card = views.result_card(result)
        yield [card, *kept]
        drawings = [self._drawn(*one) for one in zip(sources, (0,) * len(sources), result.nodes, strict=True)]
        yield [card, *(value for drawing in drawings for value in drawing)]

    def _found(self, query: str | Given, where: str, limit: int) -> Iterator[list[Any]]:
        kept = [gr.skip() for _ in range(3)]
        try:
            hits = self.tasks.search(query, where, limit)
        except Exception as error:
            nothing = [views.placeholder("Nothing to draw."), gr.update(visible=False), None]
            yield [views.error_card(_told(error)), gr.update(visible=False), *nothing]
            return
        card = views.hits_card(hits, len(self.tasks.checkpoint.index))
        choices = [(hit.name, hit.source) for hit in hits if can_be_built(hit.source)]
        first = choices[0][1] if choices else None
        chooser = gr.update(choices=choices, value=first, visible=bool(choices))
        yield [card, chooser, *kept]
        if first is not None:
            yield [card, chooser, *self._drawn(Given(NAME, first), 0, ())]
        else:
            told = "What was found is of torchvision or timm, which this page has not." if hits else "Nothing to draw."
            yield [card, chooser, views.placeholder(told), gr.update(visible=False), None]

    def _drawn(self, source: Given, detail: int, nodes: tuple[int, ...]) -> list[Any]:
        """Values for `View.outputs`."""
        return [self._svg(source, detail, nodes), gr.update(visible=True, value=detail), (source, nodes)]

    def _redrawn(self, detail: float, drawn: tuple[Given, tuple[int, ...]] | None) -> Any:
        return gr.skip() if drawn is None else self._svg(drawn[0], int(detail), drawn[1])

    def _svg(self, source: Given, detail: int, nodes: tuple[int, ...]) -> str:
        try:
            network: Network = self.tasks.networks.read(source)
            return views.picture(self.tasks.pictures.network(network, detail, nodes), network.name)
        except Exception as error:
            return views.no_picture(_told(error))

    def _api(self) -> None:
        """Functions for programs and assistants; an uploaded file becomes the text of a graph, which they take."""
        for name, function in endpoints(self.tasks, gr.Error).items():
            gr.api(function, api_name=name, concurrency_id="work")

        def read_file(file: str) -> str:
            """Read a network from a file: ONNX, .pt2, safetensors, GGUF or config.json, as the text of its graph."""
            try:
                return self.tasks.networks.read(Given(FILE, file or "")).graph.to_json()
            except DemoError as error:
                raise gr.Error(str(error)) from None

        file, text, button = gr.File(visible=False), gr.Textbox(visible=False), gr.Button(visible=False)
        button.click(read_file, file, text, api_name="read_file", concurrency_id="work")


def _card(name: str) -> gr.HTML:
    return gr.HTML(elem_id=f"{name}-card")


def _told(error: Exception) -> str:
    """What a user is told of an error; what is no fault of the input goes to the log."""
    if isinstance(error, DemoError):
        return str(error)
    _log.error("A request failed.", exc_info=error)
    return "This should not have happened; it was written to the log. Try another network, or other words."


def _header(tasks: Tasks) -> str:
    checkpoint, size = tasks.checkpoint.name, len(tasks.checkpoint.index)
    return (
        f'<header class="ab-header" data-upload-mib="{tasks.limits.upload_mib}"><h1>ArchBERT</h1>'
        "<p>Ask a neural network about itself. It is read as a graph: no weights are loaded, nothing is ever "
        "unpickled.</p>"
        f"<span>{views.text(checkpoint, 60)} \u00b7 {size:,} networks indexed</span></header>"
    )


def theme() -> gr.themes.Base:
    """The looks that `style.css` completes."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=(gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"),
    ).set(body_background_fill="*neutral_50", body_background_fill_dark="*neutral_950", block_shadow="none")


def build(tasks: Tasks, names: Sequence[str]) -> gr.Blocks:
    """The app, with its queue."""
    limits = tasks.limits
    app = Page(tasks, names).build()
    return app.queue(max_size=limits.waiting, default_concurrency_limit=limits.at_once)


def launch(app: gr.Blocks, limits: Limits, **options: Any) -> tuple[Any, str, str]:
    """Starts the app; returns what `gradio.Blocks.launch` does.

    Args:
        app: of `build`.
        limits: of uploads.
        options: of `gradio.Blocks.launch`.
    """
    script = (FOLDER / "viewer.js").read_text(encoding="utf-8")
    defaults: dict[str, Any] = {
        "theme": theme(), "css_paths": FOLDER / "style.css", "head": f"<script>{script}</script>",
        "footer_links": ["api", "settings"], "max_file_size": f"{limits.upload_mib}mb", "mcp_server": True,
        "ssr_mode": False, "share": False, "max_threads": THREADS,
        "app_kwargs": {"middleware": [upload_limit(limits)]},
    }  # fmt: skip
    return app.launch(**(defaults | options))
