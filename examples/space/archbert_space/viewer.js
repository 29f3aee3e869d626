/* Drawings that can be moved and zoomed, and uploads that are too large. Gradio replaces them at will, so everything is found anew at every event. */
(() => {
  "use strict";
  const MAX_SCALE = 6, MARGIN = 16;
  const states = new WeakMap();
  const pointers = new Map();
  const stageOf = (target) => (target instanceof Element ? target.closest(".ab-stage") : null);
  const drawingOf = (stage) => stage.querySelector(":scope > svg");

  function sizeOf(svg) {
    const box = svg.viewBox.baseVal;
    return { width: box.width || 300, height: box.height || 150 };
  }

  function apply(stage) {
    const state = states.get(stage), svg = drawingOf(stage);
    if (state && svg) svg.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.k})`;
  }

  /* The width fills the stage; a drawing that is taller begins at its top, or where the first evidence is. */
  function fit(stage) {
    const svg = drawingOf(stage);
    if (!svg || !stage.clientWidth) return false;
    const { width, height } = sizeOf(svg);
    const whole = Math.min((stage.clientWidth - 2 * MARGIN) / width, (stage.clientHeight - 2 * MARGIN) / height);
    const k = Math.min(1.4, Math.max(whole, Math.min(1, (stage.clientWidth - 2 * MARGIN) / width)));
    const x = Math.max((stage.clientWidth - width * k) / 2, MARGIN * Math.min(1, k));
    let y = Math.max((stage.clientHeight - height * k) / 2, MARGIN);
    const shown = svg.querySelector("g.evidence rect");
    if (shown && height * k > stage.clientHeight) {
      const middle = (Number(shown.getAttribute("y")) + Number(shown.getAttribute("height")) / 2) * k;
      y = Math.min(MARGIN, Math.max(stage.clientHeight / 2 - middle, stage.clientHeight - MARGIN - height * k));
    }
    states.set(stage, { x, y, k, least: Math.min(whole, k) / 1.5 });
    apply(stage);
    return true;
  }

  function zoom(stage, factor, x, y) {
    const state = states.get(stage);
    if (!state) return;
    const k = Math.min(MAX_SCALE, Math.max(state.least, state.k * factor));
    state.x = x - ((x - state.x) * k) / state.k;
    state.y = y - ((y - state.y) * k) / state.k;
    state.k = k;
    apply(stage);
  }

  function move(stage, dx, dy) {
    const state = states.get(stage);
    if (!state) return;
    state.x += dx;
    state.y += dy;
    apply(stage);
  }

  const middle = (stage) => [stage.clientWidth / 2, stage.clientHeight / 2];
  const fullStage = (stage) => Boolean(stage.closest(".ab-view.ab-full"));

  function act(view, action) {
    const stage = view.querySelector(".ab-stage");
    if (action === "full") {
      view.classList.toggle("ab-full");
      document.body.classList.toggle("ab-has-full", view.classList.contains("ab-full"));
      fit(stage);
    } else if (action === "fit") fit(stage);
    else zoom(stage, action === "in" ? 1.3 : 1 / 1.3, ...middle(stage));
  }

  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest("[data-zoom]");
    if (button) act(button.closest(".ab-view"), button.dataset.zoom);
  });

  document.addEventListener("wheel", (event) => {
    const stage = stageOf(event.target);
    if (!stage || !(event.ctrlKey || event.metaKey || fullStage(stage))) return;
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(stage, Math.exp(-event.deltaY * (event.ctrlKey ? 0.008 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  document.addEventListener("pointerdown", (event) => {
    const stage = stageOf(event.target);
    if (!stage || event.button > 0) return;
    pointers.set(event.pointerId, { stage, x: event.clientX, y: event.clientY, touch: event.pointerType === "touch" });
    if (event.pointerType !== "touch") {
      stage.setPointerCapture(event.pointerId);
      stage.classList.add("ab-moving");
    }
  });

  document.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const { stage } = last;
    const fingers = [...pointers.values()].filter((one) => one.stage === stage);
    if (fingers.length === 2) {
      const other = fingers.find((one) => one !== last), box = stage.getBoundingClientRect();
      const before = Math.hypot(last.x - other.x, last.y - other.y);
      const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      zoom(stage, after / Math.max(before, 1), (event.clientX + other.x) / 2 - box.left, (event.clientY + other.y) / 2 - box.top);
      move(stage, (event.clientX - last.x) / 2, (event.clientY - last.y) / 2);
    } else if (!last.touch || fullStage(stage)) move(stage, event.clientX - last.x, event.clientY - last.y);
    last.x = event.clientX;
    last.y = event.clientY;
  });

  function release(event) {
    const last = pointers.get(event.pointerId);
    if (last) last.stage.classList.remove("ab-moving");
    pointers.delete(event.pointerId);
  }
  document.addEventListener("pointerup", release);
  document.addEventListener("pointercancel", release);

  document.addEventListener("keydown", (event) => {
    const full = document.querySelector(".ab-view.ab-full");
    if (event.key === "Escape" && full) return act(full, "full");
    const stage = stageOf(document.activeElement);
    if (!stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    if (event.key in steps) move(stage, ...steps[event.key]);
    else if (event.key === "+" || event.key === "=") zoom(stage, 1.3, ...middle(stage));
    else if (event.key === "-") zoom(stage, 1 / 1.3, ...middle(stage));
    else if (event.key === "0") fit(stage);
    else return;
    event.preventDefault();
  });

  /* A file that is too large is refused here, before anything of it is sent. */
  function checkSize(event, files) {
    const area = event.target instanceof Element && event.target.closest("[id$='-file']");
    if (!area || !files) return;
    area.parentElement.querySelectorAll(":scope > .ab-too-large").forEach((old) => old.remove());
    const limit = Number(document.querySelector(".ab-header").dataset.uploadMib);
    const large = [...files].find((file) => file.size > limit * 2 ** 20);
    if (!large) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.target instanceof HTMLInputElement) event.target.value = "";
    const told = document.createElement("p"), size = Math.ceil(large.size / 2 ** 20).toLocaleString("en");
    told.className = "ab-read ab-unread ab-too-large";
    told.setAttribute("role", "alert");
    told.textContent = `${large.name.slice(0, 100)} has ${size} MiB; ${limit} MiB are allowed. Of a network on the Hub ` +
      "give the id, of weights the config.json beside them.";
    area.after(told);
  }
  document.addEventListener("change", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type === "file") checkSize(event, event.target.files);
  }, true);
  document.addEventListener("drop", (event) => checkSize(event, event.dataTransfer && event.dataTransfer.files), true);

  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => fit(target)));
  function prepare() {
    document.querySelectorAll(".ab-stage").forEach((stage) => {
      if (!stage.dataset.watched) {
        stage.dataset.watched = "1";
        sizes.observe(stage);
      }
    });
    if (!document.querySelector(".ab-view.ab-full")) document.body.classList.remove("ab-has-full");
  }
  new MutationObserver(prepare).observe(document, { childList: true, subtree: true });
  prepare();
})();
