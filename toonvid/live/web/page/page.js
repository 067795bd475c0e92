"use strict";

const REFRESH_MS = 1000;
const LONGEST_SIDE = 960; // pixels of the browser's camera that are sent
const JPEG_QUALITY = 0.85;

const at = (id) => document.getElementById(id);
let held = null; // the control that a finger is on: the server's value must not move it
let camera = null; // {stream, socket} while this device's camera is the source

async function change(values) {
  try {
    const answer = await fetch("controls", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(values),
    });
    if (!answer.ok) throw new Error(await answer.text());
    show(await answer.json());
  } catch (error) {
    say(error.message);
  }
}

async function refresh() {
  try {
    const answer = await fetch("state");
    if (!answer.ok) throw new Error(await answer.text());
    show(await answer.json());
    if (at("message").textContent === LOST) {
      say("");
      at("cartoon").src = `cartoon.mjpg#${Date.now()}`; // the stream ended with the server
    }
  } catch {
    say(LOST);
  }
  setTimeout(refresh, REFRESH_MS);
}

const LOST = "toonvid does not answer. Was it ended?";

function show(state) {
  const select = at("style");
  if (select.options.length !== state.styles.length) {
    select.replaceChildren(...state.styles.map((name) => new Option(name, name)));
  }
  set(select, "value", state.style);
  set(at("strength"), "value", state.strength);
  set(at("wipe"), "value", state.wipe ?? 0);
  set(at("keep-color"), "checked", state.keep_color);
  set(at("mirror"), "checked", state.mirror);
  showShares();
  at("record").textContent = state.recording ? "Stop recording" : "Record";
  at("record").classList.toggle("on", state.recording);
  at("recording-sign").hidden = !state.recording;
  const figures = state.figures;
  at("waiting").hidden = figures.shown > 0;
  at("rate").textContent = `${figures.rate.toFixed(1)}/s`;
  at("delay").textContent = `${figures.delay_ms} ms`;
  at("delay-95").textContent = `${figures.delay_95_ms} ms`;
  at("dropped").textContent = figures.dropped;
  at("size").textContent = `${figures.width} × ${figures.height}`;
  at("source").textContent = at("source").title = camera ? "this device" : figures.source;
}

function set(control, property, value) {
  if (control !== held) control[property] = value;
}

function showShares() {
  at("strength-shown").textContent = `${Math.round(at("strength").value * 100)} %`;
  const wipe = Number(at("wipe").value);
  at("wipe-shown").textContent = wipe ? `${Math.round(wipe * 100)} %` : "off";
}

function say(line) {
  at("message").textContent = line;
}

// Sliders move faster than a request: the newest value wins here too.
function follow(id, values) {
  let waiting = false;
  let again = false;
  const send = async () => {
    if (waiting) {
      again = true;
      return;
    }
    waiting = true;
    await change(values());
    waiting = false;
    if (again) {
      again = false;
      send();
    }
  };
  at(id).addEventListener("pointerdown", () => { held = at(id); });
  at(id).addEventListener("pointerup", () => { held = null; });
  at(id).addEventListener("pointercancel", () => { held = null; });
  at(id).addEventListener("input", () => { showShares(); send(); });
}

async function startCamera() {
  if (!navigator.mediaDevices) {
    say("The browser gives its camera to pages over HTTPS or on this computer alone.");
    return;
  }
  let stream;
  at("camera").disabled = true; // the browser asks its user first
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    say(`The camera cannot be used: ${error.message}`);
    return;
  } finally {
    at("camera").disabled = false;
  }
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.srcObject = stream;
  await video.play();
  const canvas = document.createElement("canvas");
  const address = new URL("camera", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  camera = { stream, socket };
  socket.addEventListener("message", () => sendPicture(video, canvas, socket));
  socket.addEventListener("close", (end) => {
    if (end.reason) say(`This device’s camera is off: ${end.reason}.`);
    stopCamera();
  });
  stream.getVideoTracks()[0].addEventListener("ended", stopCamera);
  at("camera").textContent = "Stop this device’s camera";
  at("camera").classList.add("on");
  say("");
}

function sendPicture(video, canvas, socket) {
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
  at("camera").textContent = "Use this device’s camera";
  at("camera").classList.remove("on");
}

follow("strength", () => ({ strength: Number(at("strength").value) }));
follow("wipe", () => ({ wipe: Number(at("wipe").value) || null }));
at("style").addEventListener("change", () => change({ style: at("style").value }));
at("keep-color").addEventListener("change", () => change({ keep_color: at("keep-color").checked }));
at("mirror").addEventListener("change", () => change({ mirror: at("mirror").checked }));
at("record").addEventListener("click", () => {
  change({ recording: !at("record").classList.contains("on") });
});
at("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera()));
refresh();
