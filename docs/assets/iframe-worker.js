/* Search on file://, where browsers start no workers: the worker's script runs in a hidden frame. */
if (location.protocol === "file:" && !("IFrameWorker" in window)) {
  class IFrameWorker extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      this.waiting = [] // what is posted before the script has loaded
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      this.inner = this.frame.contentWindow
      const page = this.inner.document
      page.open()
      page.write("<!doctype html><html><head></head><body></body></html>")
      page.close()
      this.inner.postMessage = data => this.receive(data)
      this.inner.importScripts = (...urls) => Promise.all(urls.map(each => this.load(each)))
      this.load(`${url}`).then(() => {
        for (const data of this.waiting) this.send(data)
        this.waiting = null
      })
    }
    load(url) {
      return new Promise((done, failed) => {
        const script = this.inner.document.createElement("script")
        script.src = url
        script.onload = done
        script.onerror = failed
        this.inner.document.head.appendChild(script)
      })
    }
    receive(data) {
      setTimeout(() => {
        const event = new MessageEvent("message", { data })
        this.dispatchEvent(event)
        if (this.onmessage) this.onmessage(event)
      })
    }
    send(data) {
      setTimeout(() => this.inner.dispatchEvent(new this.inner.MessageEvent("message", { data })))
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.send(data)
    }
    terminate() {
      this.frame.remove()
    }
  }
  window.IFrameWorker = IFrameWorker
  window.Worker = IFrameWorker
}
