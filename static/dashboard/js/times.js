// Relative times go on while the page stands; the browser's zone becomes known to the server.

const root = document.documentElement;
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function relative(moment) {
  const distance = (moment - Date.now()) / 1000;
  if (Math.abs(distance) < 5) return "just now";
  // As the server says it (presenters/words.py): an age is rounded down, what is to come to the nearest.
  if (distance > 0) return `in ${largest(distance + unitOf(distance)[0] / 2)}`;
  return `${largest(-distance)} ago`;
}

function largest(seconds) {
  const [size, unit] = unitOf(seconds);
  return `${Math.floor(seconds / size)} ${unit}`;
}

function unitOf(seconds) {
  return UNITS.find(([length]) => seconds >= length);
}

function parts(moment) {
  const format = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, timeZoneName: "short",
  });
  return Object.fromEntries(format.formatToParts(moment).map(({ type, value }) => [type, value]));
}

// The server did not know the zone yet: this once, the page is put right here.
function intoZone(time) {
  const moment = new Date(time.dateTime);
  const p = parts(moment);
  const date = `${p.year}-${p.month}-${p.day}`, clock = `${p.hour}:${p.minute}:${p.second}`;
  time.title = `${date} ${clock}.${p.fractionalSecond} ${p.timeZoneName}`;
  const text = { exact: `${date} ${clock}`, time: `${clock}.${p.fractionalSecond}`, date }[time.dataset.when];
  if (text) time.textContent = text;
}

function tick() {
  for (const time of document.querySelectorAll('time[data-when="relative"]')) {
    const text = relative(Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
}

function adopt() {
  if (root.dataset.zone !== "local" || root.dataset.zoneName === zone || !zone) return;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `dashboard_browser_zone=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  for (const label of document.querySelectorAll("[data-zone-label]")) label.textContent = zone;
  for (const time of document.querySelectorAll("time[data-when]")) intoZone(time);
}

adopt();
tick();
setInterval(tick, 1000);
document.addEventListener("live:drawn", tick);
