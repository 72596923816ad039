// Draws unit cells on canvases and lets them be turned (drag, arrow keys); no dependency. The scene is data made by
// cells.py; the SVG beside each canvas stays for print and for readers without scripts.
"use strict";
(() => {
  const MULTIPLY = (a, b) => a.map((row) => [0, 1, 2].map((k) => row[0] * b[0][k] + row[1] * b[1][k] + row[2] * b[2][k]));
  const turn = (axis, angle) => {
    const c = Math.cos(angle), s = Math.sin(angle);
    return axis === "up" ? [[c, 0, s], [0, 1, 0], [-s, 0, c]] : [[1, 0, 0], [0, c, -s], [0, s, c]];
  };
  const shade = (hex, towards, share) => {
    const parts = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
    return "rgb(" + parts.map((c) => Math.round(c + share * (towards - c))).join(",") + ")";
  };

  function attach(box) {
    const scene = JSON.parse(box.querySelector("script").textContent);
    const canvas = document.createElement("canvas");
    const pen = canvas.getContext("2d");
    if (!pen) return;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", box.dataset.name + ": turn with the arrow keys, Home resets");
    box.querySelector("svg").after(canvas);
    box.classList.add("live");
    let view = scene.view, zoom = 1, held = null, spinning = false;

    function draw() {
      const side = canvas.clientWidth, dense = window.devicePixelRatio || 1;
      if (!side) return;
      canvas.width = canvas.height = Math.round(side * dense);
      pen.setTransform(dense, 0, 0, dense, 0, 0);
      pen.clearRect(0, 0, side, side);
      pen.lineCap = "round";
      const style = getComputedStyle(box), ink = style.getPropertyValue("--edge"), rim = style.getPropertyValue("--rim");
      const scale = zoom * (side / 2 - 6) / scene.radius;
      const place = (x, y, z) => {
        const [r, u, t] = view.map((row) => row[0] * x + row[1] * y + row[2] * z);
        return [side / 2 + scale * r, side / 2 - scale * u, t];
      };
      const items = [];
      const line = (a, b, width, colour, depth) => items.push([depth, () => {
        pen.strokeStyle = colour; pen.lineWidth = width;
        pen.beginPath(); pen.moveTo(a[0], a[1]); pen.lineTo(b[0], b[1]); pen.stroke();
      }]);
      for (const e of scene.edges) {
        for (let k = 0; k < 6; k += 1) {
          const at = (f) => place(e[0] + (e[3] - e[0]) * f, e[1] + (e[4] - e[1]) * f, e[2] + (e[5] - e[2]) * f);
          const a = at(k / 6), b = at((k + 1) / 6);
          line(a, b, 1.1, ink, (a[2] + b[2]) / 2);
        }
      }
      const spots = scene.atoms.map((a) => place(a[0], a[1], a[2]));
      for (const [i, j] of scene.bonds) {
        const p = spots[i], q = spots[j], m = p.map((v, k) => (v + q[k]) / 2);
        for (const [end, atom] of [[p, scene.atoms[i]], [q, scene.atoms[j]]]) {
          const depth = (end[2] + m[2]) / 2;
          line(end, m, 0.2 * scale + 1.4, rim, depth - 1e-3);
          line(end, m, 0.2 * scale, scene.colours[atom[3]], depth);
        }
      }
      scene.atoms.forEach((atom, index) => items.push([spots[index][2], () => {
        const [x, y] = spots[index], r = atom[4] * scale, colour = scene.colours[atom[3]];
        const glow = pen.createRadialGradient(x - 0.28 * r, y - 0.36 * r, 0, x - 0.28 * r, y - 0.36 * r, 1.44 * r);
        glow.addColorStop(0, shade(colour, 255, 0.65));
        glow.addColorStop(0.45, colour);
        glow.addColorStop(1, shade(colour, 0, 0.38));
        pen.fillStyle = glow; pen.strokeStyle = rim; pen.lineWidth = 0.8;
        pen.beginPath(); pen.arc(x, y, r, 0, 2 * Math.PI); pen.fill(); pen.stroke();
      }]));
      items.sort((a, b) => a[0] - b[0]).forEach((item) => item[1]());
    }

    function rotate(dx, dy) {
      view = MULTIPLY(MULTIPLY(turn("right", dy), turn("up", dx)), view);
      draw();
    }
    function reset() { view = scene.view; zoom = 1; draw(); }

    canvas.addEventListener("pointerdown", (event) => {
      held = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      rotate((event.clientX - held[0]) * 0.011, (event.clientY - held[1]) * 0.011);
      held = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { held = null; });
    canvas.addEventListener("dblclick", reset);
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] }[event.key];
      if (step) rotate(...step);
      else if (event.key === "+" || event.key === "=") { zoom = Math.min(4, zoom * 1.15); draw(); }
      else if (event.key === "-") { zoom = Math.max(0.5, zoom / 1.15); draw(); }
      else if (event.key === "Home") reset();
      else return;
      event.preventDefault();
    });
    const button = box.querySelector("button");
    button.addEventListener("click", () => {
      spinning = !spinning;
      button.setAttribute("aria-pressed", String(spinning));
      let last = performance.now();
      const tick = (now) => {
        if (!spinning) return;
        if (!held) rotate((now - last) * 0.0006, 0);
        last = now;
        requestAnimationFrame(tick);
      };
      if (spinning) requestAnimationFrame(tick);
    });
    new ResizeObserver(draw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    draw();
  }

  document.querySelectorAll(".cell-view").forEach(attach);
})();
