// What tests use on a page, and how the page forgets a test. Evaluated when the page is ready, and after each reset.
() => {
  const { api } = window.comfyAPI.api, over = new AbortController(), Context = AudioContext;
  const originals = [[AudioBufferSourceNode, 'start'], [AudioNode, 'connect'], [AudioParam, 'linearRampToValueAtTime']]
    .map(([{ prototype }, name]) => [prototype, name, prototype[name]]);

  /** Listen to the server's events until the page is reset. */
  window.misoOn = (kind, listener) => api.addEventListener(kind, listener, {signal: over.signal});

  /** Note in misoHeard what is played: when it begins, at which rate, its length, and when that was asked for. */
  window.misoListen = () => {
    window.misoHeard = [];
    const { start } = AudioBufferSourceNode.prototype;
    AudioBufferSourceNode.prototype.start = function (when, ...more) {
      const { sampleRate: rate, length } = this.buffer;
      window.misoHeard.push({when, rate, length, now: this.context.currentTime, asked: performance.now()});
      return start.call(this, when, ...more);
    };
  };

  window.misoReset = () => {
    over.abort();
    window.AudioContext = Context;
    for (const [prototype, name, original] of originals) prototype[name] = original;
    delete api.queuePrompt;
    app.graph.clear();
    app.nodeOutputs = {};
    app.extensionManager.toast?.removeAll?.();
    app.canvas.ds.reset();
    for (const storage of [localStorage, sessionStorage]) storage.clear();
    for (const name of Object.keys(window)) if (name.startsWith('miso')) delete window[name];
  };
}
