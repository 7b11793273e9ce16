"""An asyncio server on a thread of its own, beside a scenario that calls it."""

import asyncio
import threading


class Serving:
    """Serves until `stop`; what is served is made by `_start`, on the server's thread."""

    def serve(self):
        """Starts the thread; returns when `_start` is done."""
        self.loop, self.ready = asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.ready.wait(20)

    def on_thread(self, work):
        """What a coroutine gives that the server's thread runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._start())
        self.ready.set()
        self.loop.run_forever()
