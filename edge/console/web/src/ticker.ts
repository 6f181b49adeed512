/** A worker that only says "tick": a hidden page's own timers are slowed to one a minute, a worker's are not. */
setInterval(() => postMessage(null), 200);
