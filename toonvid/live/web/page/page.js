// The page of `toonvid live --serve`: shows the live cartoon and its statistics, sends changes of
// the controls, and can send this device's camera. The server's side is toonvid/live/web/routes.py.
"use strict";

const REFRESH_MS = 1000;
const LONGEST_SIDE = 960; // pixels; larger frames of this device's camera are scaled down
const JPEG_QUALITY = 0.85;
const STYLE_CONTROLS = ["ink", "tones", "saturation"]; // a style has all, some or none of them
const NO_ANSWER = "toonvid does not answer. Has it ended?";

const byId = (id) => document.getElementById(id);
let heldControl = null; // a slider under the pointer: the server's value must not move it
let camera = null; // {stream, socket} while this device's camera is the source

// Sends changes of the controls as JSON: style, strength, keep_color, mirror, wipe, recording, and
// those of STYLE_CONTROLS.
async function sendChanges(changes) {
  try {
    const response = await fetch("controls", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(changes),
    });
    if (!response.ok) throw new Error(await response.text());
    showState(await response.json());
  } catch (error) {
    showMessage(error.message);
  }
}

async function refresh() {
  try {
    const response = await fetch("state");
    if (!response.ok) throw new Error(await response.text());
    showState(await response.json());
    if (byId("message").textContent === NO_ANSWER) {
      showMessage("");
      // The stream ended with the server. A new address makes the browser open it again.
      byId("cartoon").src = `cartoon.mjpg#${Date.now()}`;
    }
  } catch {
    showMessage(NO_ANSWER);
  }
  setTimeout(refresh, REFRESH_MS);
}

function showState(state) {
  const select = byId("style");
  if (select.options.length !== state.styles.length) {
    select.replaceChildren(...state.styles.map((name) => new Option(name, name)));
  }
  setControl(select, "value", state.style);
  setControl(byId("strength"), "value", state.strength);
  for (const name of STYLE_CONTROLS) showStyleControl(byId(name), state.style_controls[name]);
  byId("reset").hidden = Object.keys(state.style_controls).length === 0;
  setControl(byId("wipe"), "value", state.wipe ?? 0);
  setControl(byId("keep-color"), "checked", state.keep_color);
  setControl(byId("mirror"), "checked", state.mirror);
  showSliderValues();
  byId("record").textContent = state.recording ? "Stop recording" : "Record";
  byId("record").classList.toggle("on", state.recording);
  byId("recording-sign").hidden = !state.recording;
  const statistics = state.figures;
  byId("waiting").hidden = statistics.shown > 0;
  byId("rate").textContent = `${statistics.rate.toFixed(1)}/s`;
  byId("delay").textContent = `${statistics.delay_ms} ms`;
  byId("delay-95").textContent = `${statistics.delay_95_ms} ms`;
  byId("dropped").textContent = statistics.dropped;
  byId("size").textContent = `${statistics.width} × ${statistics.height}`;
  byId("source").textContent = byId("source").title = camera ? "this device" : statistics.source;
}

// Shows the slider of a control with the range of the present style; hides it if that has none.
function showStyleControl(slider, range) {
  slider.parentElement.hidden = range === undefined;
  if (range === undefined || slider === heldControl) return;
  // In this order: a value outside the slider's present range would be cut off.
  [slider.min, slider.max, slider.step] = [range.minimum, range.maximum, range.step];
  slider.value = range.value;
}

function setControl(control, property, value) {
  if (control !== heldControl) control[property] = value;
}

function showSliderValues() {
  byId("strength-shown").textContent = `${Math.round(byId("strength").value * 100)} %`;
  for (const name of STYLE_CONTROLS) byId(`${name}-shown`).textContent = byId(name).value;
  const wipe = Number(byId("wipe").value);
  byId("wipe-shown").textContent = wipe ? `${Math.round(wipe * 100)} %` : "off";
}

function showMessage(text) {
  byId("message").textContent = text;
}

// Sends a slider's value whenever it moves. Sliders move faster than requests are answered: while
// one is under way, only the newest value is kept.
function sendWhileMoving(id, changes) {
  let isSending = false;
  let hasMoved = false;
  const send = async () => {
    if (isSending) {
      hasMoved = true;
      return;
    }
    isSending = true;
    await sendChanges(changes());
    isSending = false;
    if (hasMoved) {
      hasMoved = false;
      send();
    }
  };
  byId(id).addEventListener("pointerdown", () => { heldControl = byId(id); });
  byId(id).addEventListener("pointerup", () => { heldControl = null; });
  byId(id).addEventListener("pointercancel", () => { heldControl = null; });
  byId(id).addEventListener("input", () => { showSliderValues(); send(); });
}

async function startCamera() {
  if (!navigator.mediaDevices) {
    showMessage("Browsers give their camera only to pages over HTTPS or on the same computer.");
    return;
  }
  let stream;
  byId("camera").disabled = true; // while the browser asks its user for permission
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    showMessage(`The camera cannot be used: ${error.message}`);
    return;
  } finally {
    byId("camera").disabled = false;
  }
  const video = document.createElement("video");
  video.muted = video.playsInline = true; // or phones do not play without a tap
  video.srcObject = stream;
  await video.play();
  const canvas = document.createElement("canvas");
  const address = new URL("camera", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  camera = { stream, socket };
  // Each message of the server asks for one frame.
  socket.addEventListener("message", () => sendFrame(video, canvas, socket));
  socket.addEventListener("close", (event) => {
    if (event.reason) showMessage(`This device’s camera is off: ${event.reason}.`);
    stopCamera();
  });
  stream.getVideoTracks()[0].addEventListener("ended", stopCamera);
  byId("camera").textContent = "Stop this device’s camera";
  byId("camera").classList.add("on");
  showMessage("");
}

function sendFrame(video, canvas, socket) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => {
    if (blob && socket.readyState === WebSocket.OPEN) socket.send(blob);
  }, "image/jpeg", JPEG_QUALITY);
}

function stopCamera() {
  if (!camera) return;
  const { stream, socket } = camera;
  camera = null;
  stream.getTracks().forEach((track) => track.stop());
  socket.close();
  byId("camera").textContent = "Use this device’s camera";
  byId("camera").classList.remove("on");
}

sendWhileMoving("strength", () => ({ strength: Number(byId("strength").value) }));
for (const name of STYLE_CONTROLS) {
  sendWhileMoving(name, () => ({ [name]: Number(byId(name).value) }));
}
byId("reset").addEventListener("click", () => {
  const own = STYLE_CONTROLS.filter((name) => !byId(name).parentElement.hidden);
  sendChanges(Object.fromEntries(own.map((name) => [name, null])));
});
sendWhileMoving("wipe", () => ({ wipe: Number(byId("wipe").value) || null }));
byId("style").addEventListener("change", () => sendChanges({ style: byId("style").value }));
byId("keep-color").addEventListener("change", () => {
  sendChanges({ keep_color: byId("keep-color").checked });
});
byId("mirror").addEventListener("change", () => sendChanges({ mirror: byId("mirror").checked }));
byId("record").addEventListener("click", () => {
  sendChanges({ recording: !byId("record").classList.contains("on") });
});
byId("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera()));
refresh();
