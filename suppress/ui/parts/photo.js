// The photo, the painted mask and the crop are kept in this page, and travel with each order: the server stores none of them.
const LARGEST = 30; // megabytes
const find = (name) => element.querySelector(name);
const [file, drop, paint, image, canvas, alertBox] = ["input[type=file]", ".drop", ".paint", "img", "canvas", ".alert"].map(find);
const [crop, cut] = [".crop", ".cut"].map(find); // the part to take as text, and as a frame
const pen = canvas.getContext("2d");
let doing = "paint"; // what the pointer does: paint, erase or crop
let first = null; // where it went down, in pixels of the photo
let last = null; // where it was before
let painted = false;

function say(text) {
  alertBox.textContent = text;
  alertBox.hidden = !text;
}

function load(chosen) {
  if (!chosen) return;
  if (chosen.size > LARGEST * 1e6) return say(`The file has ${Math.round(chosen.size / 1e6)} megabytes; at most ${LARGEST} can be loaded.`);
  say("");
  const reader = new FileReader();
  reader.onload = () => {
    props.value = { name: chosen.name, data: reader.result, mask: null, crop: "" };
    image.src = reader.result;
    paint.hidden = false;
    drop.hidden = true;
    trigger("loaded");
  };
  reader.readAsDataURL(chosen);
}

image.addEventListener("load", () => {
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  painted = false;
  crop.value = "";
  frame();
});
image.addEventListener("error", () => {
  if (!image.getAttribute("src")) return;
  forget();
  say("This file is not a picture that the browser can show. JPEG, PNG and WebP work.");
});

function forget() {
  props.value = null;
  image.removeAttribute("src");
  file.value = "";
  paint.hidden = true;
  drop.hidden = false;
  trigger("loaded");
}

function clear() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  painted = false;
  keep();
}

// The mask as a black and white PNG file in the size of the photo; none if nothing is painted.
function keep() {
  let mask = null;
  if (painted) {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const paper = copy.getContext("2d");
    paper.drawImage(canvas, 0, 0);
    paper.globalCompositeOperation = "source-in";
    paper.fillStyle = "white";
    paper.fillRect(0, 0, copy.width, copy.height);
    paper.globalCompositeOperation = "destination-over";
    paper.fillStyle = "black";
    paper.fillRect(0, 0, copy.width, copy.height);
    mask = copy.toDataURL("image/png");
  }
  props.value = { ...props.value, mask };
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
}

function stroke(event) {
  const now = place(event);
  const [x, y] = last || now;
  pen.globalCompositeOperation = doing === "erase" ? "destination-out" : "source-over";
  pen.strokeStyle = "#e5484d";
  pen.lineCap = "round";
  pen.lineWidth = (Math.min(canvas.width, canvas.height) * Number(find(".brush").value)) / 100;
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(...now);
  pen.stroke();
  last = now;
  painted = painted || doing === "paint";
}

// The part between the two corners of a drag; the whole photo after a mere click.
function take(event) {
  const [[left, right], [top, bottom]] = [canvas.width, canvas.height].map((most, axis) =>
    [first[axis], place(event)[axis]].map((at) => Math.round(Math.min(Math.max(at, 0), most))).sort((a, b) => a - b));
  crop.value = right - left > 1 && bottom - top > 1 ? [left, top, right, bottom].join(",") : "";
  frame();
}

// Shows the part that the field names, if the photo has it.
function frame() {
  const sides = crop.value.split(",").map((side) => (side.trim() ? Number(side) : NaN));
  const [left, top, right, bottom] = sides;
  cut.hidden = !(sides.length === 4 && left >= 0 && left < right && right <= canvas.width && top >= 0 && top < bottom && bottom <= canvas.height);
  const [x, y] = [100 / canvas.width, 100 / canvas.height];
  cut.style.inset = `${top * y}% ${100 - right * x}% ${100 - bottom * y}% ${left * x}%`;
}

function keepCrop() {
  props.value = { ...props.value, crop: crop.value };
}

function move(event) {
  if (doing === "crop") take(event);
  else stroke(event);
}

file.addEventListener("change", () => load(file.files[0]));
drop.addEventListener("dragover", (event) => event.preventDefault());
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  load(event.dataTransfer.files[0]);
});
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  [first, last] = [place(event), null];
  move(event);
});
canvas.addEventListener("pointermove", (event) => first && move(event));
canvas.addEventListener("pointerup", () => {
  first = last = null;
  if (doing === "crop") keepCrop();
  else keep();
});
crop.addEventListener("input", () => {
  frame();
  keepCrop();
});
find(".tools").addEventListener("click", (event) => {
  const what = event.target.dataset.do;
  if (what === "clear") clear();
  if (what === "remove") forget();
  if (!["paint", "erase", "crop"].includes(what)) return;
  doing = what;
  for (const name of ["paint", "erase", "crop"]) find(`[data-do=${name}]`).setAttribute("aria-pressed", String(name === what));
});
