// Show the kernel's picture without a blink, and tell the kernel about the page: width, pixel ratio, dark or light.
const REST = 150; // milliseconds without a change before a change of size or theme is reported
const OWN_KEYS = "data-lm-suppress-shortcuts"; // Jupyter takes no shortcut from an element with this attribute

function brightness(color) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue, opacity] = context.getImageData(0, 0, 1, 1).data;
  return { value: 0.3 * red + 0.59 * green + 0.11 * blue, opaque: opacity > 127 };
}

function isDark(element) {
  for (let place = element; place; place = place.parentElement) {
    const ground = brightness(getComputedStyle(place).backgroundColor);
    if (ground.opaque) return ground.value < 128;
  }
  return brightness(getComputedStyle(element).color).value > 128; // light letters, so a dark page
}

// Tell assistive technology what a control is called, and which value a slider has where it moves over a list.
function nameControls(lab) {
  for (const handle of lab.querySelectorAll(".noUi-handle")) {
    const slider = handle.closest(".widget-slider");
    const [label, value] = [".widget-label", ".widget-readout"].map((part) => slider?.querySelector(part)?.textContent);
    if (label && handle.ariaLabel !== label) {
      handle.ariaLabel = label;
      handle.setAttribute(OWN_KEYS, "true");
    }
    if (value) handle.ariaValueText = value;
  }
  for (const row of lab.querySelectorAll(".widget-toggle-buttons:not([role])")) {
    row.role = "group";
    row.ariaLabel = row.querySelector(".widget-label")?.textContent ?? "";
  }
}

// Keep a slider's keys from Jupyter, such as the arrow keys from Notebook 7. Leave it all other keys.
function shareKeys(event) {
  const handle = event.target.closest?.(".offac-lab .noUi-handle");
  if (/^(Arrow|Page|Home|End)/.test(event.key)) handle?.setAttribute(OWN_KEYS, "true");
  else handle?.removeAttribute(OWN_KEYS);
}

function render({ model, el }) {
  el.classList.add("offac-picture");
  const keys = (event) => shareKeys(event);
  let image = el.appendChild(new Image());
  let [asked, shown, waiting, told] = [0, 0, 0, ""];

  async function draw() {
    const [number, next] = [++asked, new Image()];
    next.src = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    [next.alt, next.style.width] = [model.get("alt"), `${model.get("width")}px`];
    await next.decode().catch(() => {});
    if (number < shown) return URL.revokeObjectURL(next.src); // a newer one was decoded earlier
    shown = number;
    URL.revokeObjectURL(image.src);
    image.replaceWith(next);
    image = next;
  }

  function tell() {
    const lab = el.closest(".offac-lab");
    if (!lab || !el.clientWidth) return;
    if (!lab.classList.contains("offac-live")) {
      lab.classList.add("offac-live");
      nameControls(lab);
      controls.observe(lab, { childList: true, subtree: true });
    }
    const page = { width: el.clientWidth, ratio: window.devicePixelRatio, dark: isDark(el) };
    if (JSON.stringify(page) === told) return;
    told = JSON.stringify(page);
    model.set("page", page);
    model.save_changes();
  }

  function later() {
    clearTimeout(waiting);
    waiting = setTimeout(tell, told ? REST : 0);
  }

  const controls = new MutationObserver(() => nameControls(el.closest(".offac-lab") ?? el)); // some are made again
  const size = new ResizeObserver(later);
  size.observe(el);
  const theme = new MutationObserver(later);
  for (const root of [document.documentElement, document.body]) theme.observe(root, { attributes: true });
  window.addEventListener("resize", later); // a page's zoom
  window.addEventListener("keydown", keys, true); // before Jupyter hears of the key
  model.on("change:value", draw);
  draw();
  return () => {
    controls.disconnect();
    size.disconnect();
    theme.disconnect();
    window.removeEventListener("resize", later);
    window.removeEventListener("keydown", keys, true);
    model.off("change:value", draw);
    clearTimeout(waiting);
    URL.revokeObjectURL(image.src);
  };
}

export default { render };
