// SPDX-License-Identifier: Apache-2.0
// The report's page: draws the charts when they come into view, and redraws them when a filter, a
// measure, the colour scheme or the medium (paper) changes. The charts arrive as Plotly figures in
// a compressed block of JSON; each trace's meta says which filters it answers to. Plotly, which is
// compressed as well, is unpacked when the first chart is to be drawn.
"use strict";
(async () => {
  // The text of a compressed block of the page.
  async function unpacked(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent),
                                  (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  if (!("DecompressionStream" in window)) {
    for (const chart of document.querySelectorAll(".chart"))
      chart.textContent = "This browser is too old to draw the charts.";
    return;
  }
  const report = JSON.parse(await unpacked("data"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 700px)");
  const coarse = matchMedia("(pointer: coarse)");
  const FILTERS = ["op", "format", "variant", "machine", "threads"];
  const MEASURES = {
    share: "% of the measured limit",
    items: "Gitems/s",
    scalar: "times as fast as scalar",
  };
  const state = { off: {}, measure: "speed", scale: "log", pace: "time", others: "best",
                  paper: false };
  for (const key of FILTERS) state.off[key] = new Set();
  const drawn = new Set();

  const isOff = (key, value) =>
    value !== "" && value !== undefined && state.off[key].has(String(value));
  const selected = (meta) => !FILTERS.some((key) => isOff(key, meta[key]));

  function palette() {
    return dark.matches && !state.paper
      ? { mode: "dark", ink: "#e8eaee", soft: "#9aa4b2", grid: "#262c35", line: "#3a424e",
          limit: "#e8eaee", card: "#171b21" }
      : { mode: "light", ink: "#16191f", soft: "#596273", grid: "#e8ebf0", line: "#c3c9d3",
          limit: "#16191f", card: "#ffffff" };
  }

  function paint(trace, kind, colours) {
    const meta = trace.meta;
    if (meta.role === "limit") {
      trace.line = { ...trace.line, color: colours.limit, width: 1.6, dash: "4px,3px" };
      trace.marker = { symbol: "line-ew-open", size: 18, color: colours.limit,
                       line: { width: 2, color: colours.limit } };
      trace.textfont = { color: colours.soft, size: 11 };
      return;
    }
    if (meta.role === "name") {
      trace.textfont = { color: colours.ink, size: 11 };
      return;
    }
    if (kind === "front" && trace.legendgroup && meta.variant) {
      const style = report.styles[meta.variant];
      trace.marker = { ...trace.marker, color: style[colours.mode], symbol: `${style.symbol}-open`,
                       line: { color: style[colours.mode], width: 1.6 } };
      return;
    }
    let colour, symbol, dash;
    if (meta.variant) {
      const style = report.styles[meta.variant];
      [colour, symbol, dash] = [style[colours.mode], style.symbol, style.dash];
    } else if (meta.family) {
      const style = report.families[meta.family];
      trace.marker = style
        ? { color: style[colours.mode], symbol: style.symbol, size: 11 }
        : { color: colours.limit, symbol: "line-ns-open", size: 16, line: { width: 2.5 } };
      return;
    } else {
      const ramp = report.ramp[colours.mode];
      const at = kind === "machines" ? report.machines.indexOf(meta.machine) : meta.rank;
      colour = ramp[at % ramp.length];
      symbol = (trace.marker && trace.marker.symbol) || "circle";
      dash = "solid";
    }
    if (meta.threads > 1 && !symbol.endsWith("-open")) symbol += "-open";
    trace.marker = { ...trace.marker, color: colour, symbol,
                     size: (trace.marker && trace.marker.size) || 8,
                     line: { color: colour, width: symbol.endsWith("-open") ? 2 : 0 } };
    trace.line = { ...trace.line, color: colour, dash, width: 1.8 };
    if (trace.error_y) trace.error_y = { ...trace.error_y, color: colour };
  }

  function figureOf(spec) {
    const colours = palette();
    const data = spec.figure.data.map((source) => {
      const trace = { ...source, visible: selected(source.meta) };
      if (spec.kind === "speed" && state.measure !== "speed") {
        const y = source.meta.y[state.measure];
        if (y) trace.y = y;
        else trace.visible = false;
        if (source.meta.role === "limit" && state.measure === "scalar") trace.visible = false;
      }
      if (source.meta.role === "other" && state.others !== "all") trace.visible = false;
      paint(trace, spec.kind, colours);
      return trace;
    });
    const base = spec.figure.layout;
    const axis = (source) => ({
      ...source,
      title: { ...source.title, font: { size: 12, color: colours.soft } },
      gridcolor: colours.grid, linecolor: colours.line, zerolinecolor: colours.line,
      tickfont: { size: 11, color: colours.soft }, tickcolor: colours.line,
    });
    const layout = {
      ...base,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, 'DejaVu Sans', sans-serif", color: colours.ink, size: 12 },
      hoverlabel: { bgcolor: colours.card, bordercolor: colours.line,
                    font: { color: colours.ink, size: 12 }, align: "left" },
      xaxis: axis(base.xaxis),
      yaxis: axis(base.yaxis),
      dragmode: coarse.matches ? false : "zoom",
      autosize: true,
    };
    // On A4 with its margins: one chart a line, or two. (While printing is prepared, the page still
    // has the screen's width.)
    if (state.paper) layout.width = spec.half ? 325 : 680;
    layout.shapes = (base.shapes || []).map((shape) => ({
      ...shape, layer: "below",
      line: { ...shape.line, color: shape.name === "cache" ? colours.soft : colours.line },
    }));
    layout.annotations = (base.annotations || []).map((note) => ({
      ...note, font: { ...note.font, color: colours.soft },
    }));
    if (spec.kind === "speed") {
      layout.yaxis.type = state.measure === "share" ? "linear" : state.scale;
      if (layout.yaxis.type === "linear") layout.yaxis.rangemode = "tozero";
      if (state.measure !== "speed")
        layout.yaxis.title = { ...layout.yaxis.title, text: MEASURES[state.measure] };
    }
    if (spec.kind === "front" && state.pace === "time") inTime(data, layout, base);
    if (narrow.matches && spec.kind === "front") narrowed(data, layout);
    for (const name of ["xaxis", "yaxis"])
      if (layout[name].type === "log" && !layout[name].tickvals)
        layout[name] = { dtick: "D2", tickformat: "~g", exponentformat: "none", ...layout[name] };
    if (spec.kind === "overview" && narrow.matches) layout.yaxis.tickfont.size = 10;
    return { data, layout };
  }

  // Speeds (Gop/s) as times (microseconds a call) of the chart's products.
  function inTime(data, layout, base) {
    const microseconds = (speed) => layout.meta.operations / (speed * 1e3);
    for (const trace of data) {
      trace.x = trace.x.map(microseconds);
      // Names are below the front, where nothing lies.
      if (trace.meta.role === "name") {
        trace.text = trace.text.map((text) => `${text.trim()}\u2002`);
        trace.textposition = "bottom left";
      }
    }
    const shift = Math.log10(layout.meta.operations / 1e3);
    const points = data.filter((trace) => trace.meta.role === "row").flatMap((trace) => trace.x);
    const [low, high] = [shift - base.xaxis.range[1], shift - base.xaxis.range[0]];
    const left = Math.min(...points.map(Math.log10)) - 0.14 * (high - low);
    layout.xaxis.range = [left, Math.max(high, ...points.map(Math.log10)) + 0.05 * (high - low)];
    layout.xaxis.title = { ...layout.xaxis.title, text: "µs a call" };
  }

  // On a phone there is no room for a legend of every peer, nor for names beside points.
  function narrowed(data, layout) {
    for (const trace of data) {
      if (trace.meta.variant) trace.showlegend = false;
      if (trace.meta.role === "name") trace.textfont = { ...trace.textfont, size: 9 };
    }
    layout.yaxis.title = { ...layout.yaxis.title, text: "error (NMSE)" };
    layout.margin = { ...layout.margin, l: 48, r: 8 };
  }

  // Plotly, once it is unpacked.
  let loading = null;
  function plotly() {
    loading ??= unpacked("plotly").then((text) => {
      const script = document.createElement("script");
      script.textContent = text;
      document.head.append(script);
      return window.Plotly;
    });
    return loading;
  }

  function draw(spec) {
    drawn.add(spec.id);
    const react = (Plotly) => {
      const { data, layout } = figureOf(spec);
      return Plotly.react(document.getElementById(spec.id), data, layout, {
        responsive: true, displayModeBar: false, doubleClick: "reset", showTips: false,
      });
    };
    return window.Plotly ? react(window.Plotly) : plotly().then(react);
  }

  const near = new Set();
  const inView = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const spec = report.charts.find((chart) => chart.id === entry.target.id);
      near[entry.isIntersecting ? "add" : "delete"](spec.id);
      if (entry.isIntersecting && !drawn.has(spec.id)) draw(spec);
    }
  }, { rootMargin: "600px" });

  // What can be seen at once, the rest when it is scrolled to.
  function refresh(spec) {
    if (near.has(spec.id)) draw(spec);
    else drawn.delete(spec.id);
  }

  // Charts and table rows of what the filters leave out are hidden, then sections without any.
  function apply() {
    for (const spec of report.charts) {
      const rows = spec.figure.data.filter((trace) => trace.meta.role === "row");
      const any = rows.some((trace) => selected(trace.meta));
      document.getElementById(spec.id).closest("figure").hidden = !any;
      if (any && drawn.has(spec.id)) refresh(spec);
    }
    for (const row of document.querySelectorAll("tr[data-op]"))
      row.hidden = ["op", "format", "machine", "threads"].some(
        (key) => isOff(key, row.dataset[key]));
    for (const part of document.querySelectorAll("[data-part]"))
      part.hidden = !part.querySelector("figure:not([hidden]), tr[data-op]:not([hidden])");
    for (const key of FILTERS)
      for (const box of document.querySelectorAll(`input[name="${key}"]`))
        box.checked = !state.off[key].has(box.value);
    const hiddenCount = FILTERS.reduce((sum, key) => sum + state.off[key].size, 0);
    document.getElementById("hidden-count").textContent =
      hiddenCount ? `${hiddenCount} hidden` : "";
  }

  function redraw() {
    swatches();
    for (const spec of report.charts) if (drawn.has(spec.id)) refresh(spec);
  }

  // A variant's chip is the legend of every chart: its line, its colour, its symbol.
  function swatches() {
    const mode = palette().mode;
    for (const svg of document.querySelectorAll("svg[data-variant]")) {
      const style = report.styles[svg.dataset.variant];
      const dashes = { dot: "2 2", dash: "5 2", dashdot: "5 2 1 2", solid: "none" };
      const shapes = {
        circle: "M7 6a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", square: "M7.5 2.5h7v7h-7z",
        diamond: "M11 1l5 5l-5 5l-5-5z", "triangle-up": "M11 1.5l5 9h-10z",
        "triangle-down": "M11 10.5l5-9h-10z", pentagon: "M11 1l5 3.7l-1.9 5.8h-6.2l-1.9-5.8z",
        star: "M11 0.8l1.3 3.8h4l-3.2 2.4l1.2 3.9l-3.3-2.4l-3.3 2.4l1.2-3.9l-3.2-2.4h4z",
        "x-thin-open": "M7.5 2.5l7 7M14.5 2.5l-7 7",
      };
      const [line, mark] = svg.querySelectorAll("path");
      line.setAttribute("stroke", style[mode]);
      line.setAttribute("stroke-dasharray", dashes[style.dash]);
      mark.setAttribute("d", shapes[style.symbol]);
      mark.setAttribute("stroke", style[mode]);
      mark.setAttribute("fill", style.symbol === "x-thin-open" ? "none" : style[mode]);
    }
    for (const svg of document.querySelectorAll("svg[data-machine]")) {
      const ramp = report.ramp[mode];
      const at = report.machines.indexOf(svg.dataset.machine);
      svg.querySelector("path").setAttribute("fill", ramp[at % ramp.length]);
    }
  }

  function set(key, value, on) {
    state.off[key][on ? "delete" : "add"](String(value));
    apply();
  }
  function all(key, on) {
    state.off[key] = new Set(on ? [] : report.filters[key].map(String));
    apply();
  }
  // Opens every section, so that charts have their widths, and draws.
  function drawAll() {
    for (const part of document.querySelectorAll("details.section, details.table")) part.open = true;
    return Promise.all(report.charts.map(draw));
  }

  // A chart as a picture of its own.
  async function svg(kind, width) {
    const spec = report.charts.find((chart) => chart.kind === kind);
    if (!spec) return null;
    state.pace = "speed";
    const { data, layout } = figureOf(spec);
    state.pace = "time";
    const options = { format: "svg", width, height: layout.height };
    const url = await (await plotly()).toImage(
      { data: data.filter((trace) => trace.meta.role !== "other"),
        layout: { ...layout, autosize: false, width } }, options);
    return decodeURIComponent(url.slice(url.indexOf(",") + 1));
  }

  document.addEventListener("change", (event) => {
    const box = event.target;
    if (FILTERS.includes(box.name)) set(box.name, box.value, box.checked);
    if (["measure", "scale", "pace", "others"].includes(box.name)) {
      state[box.name] = box.value;
      redraw();
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-all]");
    if (button) all(button.dataset.key, button.dataset.all === "on");
  });
  // Double click on a chip leaves only that one.
  document.addEventListener("dblclick", (event) => {
    const box = event.target.closest(".chip")?.querySelector("input[type=checkbox]");
    if (!box) return;
    state.off[box.name] = new Set(report.filters[box.name].map(String));
    set(box.name, box.value, true);
  });
  dark.addEventListener("change", redraw);

  function paper(on) {
    if (state.paper === on) return;
    state.paper = on;
    swatches();
    // What is open is printed.
    for (const spec of report.charts)
      if (document.getElementById(spec.id).offsetParent) draw(spec);
      else drawn.delete(spec.id);
  }
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  matchMedia("print").addEventListener("change", (event) => paper(event.matches));

  // The section that a link leads to is opened before it is scrolled to.
  function openTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const part = target?.querySelector("details.section");
    if (!part || part.open) return;
    part.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", openTarget);
  document.addEventListener("click", (event) => {
    if (event.target.closest('a[href^="#"]')) setTimeout(openTarget);
  });
  // Headings that are jumped to stay clear of the bar, however high it is.
  const bar = document.querySelector(".filters");
  new ResizeObserver(() => document.documentElement.style.setProperty(
    "--bar-height", `${bar.offsetHeight}px`)).observe(bar);

  swatches();
  apply();
  openTarget();
  for (const spec of report.charts) inView.observe(document.getElementById(spec.id));
  window.quantbench = { report, state, drawn, near, set, all, drawAll, svg, paper, redraw };
})();
