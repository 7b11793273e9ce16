"""A stand-in for XTS: a real Socket.IO 2 server (python-socketio 4 on aiohttp, over TLS) and its REST calls in one.

What it knows of each websocket: every text it sent, in order, and up to which of them the client has read. The latter by
WebSocket pings that it puts between the frames: a client answers a ping when it reads it, so behind its pong everything
before the ping was read. That a message was handed to TCP says nothing of the kind.
"""

import asyncio
import base64
import json
import random
import time

import aiohttp.web
import engineio.async_drivers.aiohttp as driver
import socketio
from serving import Serving

PING_EVERY = 20
MASTER = {"NSECM": [2885, 467, 11536, *range(1, 40)], "NSEFO": [43423, 43424, *range(40_000, 40_040)]}
MASTER_ROWS = {  # an equity of 22 columns, a future of 21
    "NSECM": "NSECM|{0}|8|S{0}|S{0}-EQ|EQ|S{0}-EQ|1100100004847|2618.75|1745.85|45775|0.05|1|1|S{0}|INE967H01017|1|1|S {0} LTD-EQ|0|-1|-1",
    "NSEFO": "NSEFO|{0}|1|F{0}|F{0}26DECFUT|FUTSTK|F{0}-FUTSTK|2100100043423|2618.75|1745.85|45775|0.05|250|1|1100100004847|F{0}"
             "|2026-12-31T14:30:00|F{0} 31DEC2026|1|1|F{0}26DECFUT",
}


class Connection:
    """One websocket, as the server sees it."""

    def __init__(self, number):
        self.number, self.opened_at, self.closed_at = number, time.time(), None
        self.sent = []  # (time, text)
        self.read = 0  # texts that the client is known to have read
        self.frozen = self.joined = self.killed = False
        self.wanted, self.transport, self.response = set(), None, None


class Response(aiohttp.web.WebSocketResponse):
    """aiohttp's websocket, which tells what goes through it."""

    def __init__(self):
        super().__init__(autoping=False, max_msg_size=0)
        self.connection = None

    async def prepare(self, request):
        result = await super().prepare(request)
        self.connection = request["connection"]
        self.connection.transport, self.connection.response = request.transport, self
        return result

    async def send_str(self, data, compress=None):
        connection = self.connection
        while connection.frozen:
            await asyncio.sleep(0.05)
        # listed before it goes: what fails on the way may have arrived
        connection.sent.append((time.time(), data))
        await super().send_str(data, compress)
        if len(connection.sent) % PING_EVERY == 0:
            await self.ping(str(len(connection.sent)).encode())

    async def receive(self, timeout=None):
        while True:
            message = await super().receive(timeout)
            if message.type is aiohttp.WSMsgType.PONG:
                self.connection.read = max(self.connection.read, int(message.data))
            elif message.type is aiohttp.WSMsgType.PING:
                await self.pong(message.data)
            else:
                return message


driver.WebSocketResponse = Response


class XtsServer(Serving):
    """Its tokens live for `token_s`; each may have `cap` instruments."""

    def __init__(self, context, keys, token_s, dead=(), refusing=(), seed=0, cap=None):
        self.context, self.keys, self.token_s, self.dead, self.refusing, self.cap = context, keys, token_s, set(dead), set(refusing), cap
        self.chance = random.Random(seed)
        self.connections, self.tokens, self.revoked = [], [], set()
        self.subscribed = set()  # (token, code, instrument)
        self.again = self.split = self.over = self.masters = self.early_masters = 0
        self.logins = self.renewed_in_time = self.refused = self.told_to_wait = self.logouts = 0
        self.sequence = 0
        self.snapshots = set()  # sequences that went out by REST
        self.rate, self.padding = 400, 0
        self.busy_once = True
        self.serve()

    @property
    def root(self):
        return f"https://127.0.0.1:{self.port}"

    # --- what a scenario does to it

    def call(self, function, *arguments):
        """Runs a function on the server's thread."""

        async def run():
            return function(*arguments)

        return self.on_thread(run())

    def current(self):
        """The open websocket, if one is."""
        is_open = [connection for connection in list(self.connections) if connection.closed_at is None and connection.transport]
        return is_open[-1] if is_open else None

    def kill(self, how):
        """Ends the open websocket: `reset`, `close` (a WebSocket close), `disconnect` (Socket.IO's), `freeze` (no word any more)."""
        connection = self.current()
        if not connection:
            return False
        connection.killed = True
        if how == "reset" or connection.frozen:
            self.call(connection.transport.abort)
        elif how == "freeze":
            connection.frozen = True
        else:
            work = connection.response.close() if how == "close" else connection.response.send_str("41")
            self.on_thread(work)
        return True

    def revoke(self):
        """No token counts any more; whoever is connected is thrown out."""
        self.revoked.update(self.tokens)
        return self.kill("reset")

    def junk(self, texts, data):
        """Sends what is no message of anybody; True if a websocket took it."""
        connection = self.current()
        if not connection or not connection.joined or connection.frozen:
            return False

        async def send():
            for text in texts:
                await connection.response.send_str(text)
            await connection.response.send_bytes(data)

        self.on_thread(send())
        return True

    # --- the server

    async def _start(self):
        self.io = socketio.AsyncServer(async_mode="aiohttp", ping_interval=2, ping_timeout=5, cors_allowed_origins="*")
        self.sids = {}
        application = aiohttp.web.Application(middlewares=[self._number])
        application.add_routes([
            aiohttp.web.post("/apimarketdata/auth/login", self._login),
            aiohttp.web.delete("/apimarketdata/auth/logout", self._logout),
            aiohttp.web.post("/apimarketdata/instruments/subscription", self._subscription),
            aiohttp.web.post("/apimarketdata/instruments/quotes", self._quotes),
            aiohttp.web.post("/apimarketdata/instruments/master", self._master),
        ])
        self.io.attach(application, "apimarketdata/socket.io")
        self.io.on("connect", self._connect)
        self.io.on("disconnect", self._disconnect)
        runner = aiohttp.web.AppRunner(application, access_log=None)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.context, shutdown_timeout=0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    @aiohttp.web.middleware
    async def _number(self, request, handler):
        """Every websocket has a number, whatever becomes of it."""
        if request.path.startswith("/apimarketdata/socket.io"):
            request["connection"] = connection = Connection(len(self.connections))
            self.connections.append(connection)
            try:
                return await handler(request)
            finally:
                connection.closed_at = time.time()
        return await handler(request)

    def _counts(self, token):
        if token not in self.tokens or token in self.revoked:
            return False
        payload = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"] > time.time()

    async def _login(self, request):
        body = await request.json()
        self.logins += 1
        if (body.get("appKey"), body.get("secretKey")) != self.keys or body.get("source") != "WEBAPI":
            # as careless as servers are
            return answer(400, "error", "e-login-0001", f"Invalid credentials {body}")
        if self.tokens and self._counts(self.tokens[-1]):
            self.renewed_in_time += 1
        part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
        now = int(time.time())
        claims = {"userID": "U1", "iat": now, "exp": now + self.token_s}
        token = f"{part({'alg': 'HS256'})}.{part(claims)}.{part(f'signature {len(self.tokens)}')}"
        self.tokens.append(token)
        return answer(200, "success", "s-user-0001", "Valid User.", {"token": token, "userID": "U1"})

    async def _logout(self, request):
        self.logouts += self._counts(request.headers.get("authorization", ""))
        return answer(200, "success", "s-user-0002", "Logged out.")

    async def _subscription(self, request):
        token = request.headers.get("authorization", "")
        if not self._counts(token):
            return answer(401, "error", "e-session-0007", "Invalid Token")
        body = await request.json()
        code, wanted = body["xtsMessageCode"], instruments(body)
        if self.busy_once and self.told_to_wait == 0:
            self.told_to_wait += 1
            return aiohttp.web.json_response({"type": "error", "code": "RATE_LIMIT_EXCEEDED"}, status=429, headers={"Retry-After": "1"})
        if self.refusing & set(wanted):
            self.split += 1
            return answer(400, "error", "e-instrument-0001", "One or more instruments are unknown")
        connection = next((one for one in reversed(self.connections) if one.joined and one.closed_at is None), None)
        told = {(token, code, key) for key in wanted}
        there = told & self.subscribed
        if there:
            # of a list that is subscribed in part the rest stays unsubscribed: the strictest that a server could do
            self.again += 1
            self._send(connection, there)
            return answer(400, "error", "e-session-0002", "Instrument Already Subscribed !")
        have = {key for owner, _, key in self.subscribed if owner == token}
        if self.cap and len(have | set(wanted)) > self.cap:
            self.over += 1
            return answer(400, "error", "e-session-0003", f"Exceeded Instrument Subscription Limit of {self.cap}.You have already subscribed "
                          f"{len(have)}/{self.cap} and you are trying subscribe {len(have | set(wanted))} Instrument.")
        self.subscribed |= told
        self._send(connection, told)
        return answer(200, "success", "s-session-0001", "Subscribed", {"mdp": code, "listQuotes": self._snapshots(code, wanted)})

    def _send(self, connection, told):
        """From now on a websocket has the messages of these subscriptions."""
        if connection:
            connection.wanted.update((code, key) for _, code, key in told if key not in self.dead)

    async def _quotes(self, request):
        if not self._counts(request.headers.get("authorization", "")):
            return answer(401, "error", "e-session-0007", "Invalid Token")
        body = await request.json()
        quotes = self._snapshots(body["xtsMessageCode"], instruments(body))
        return answer(200, "success", "s-quotes-0001", "Get quotes successfully!", {"listQuotes": quotes})

    async def _master(self, request):
        token = request.headers.get("authorization", "")
        if not self._counts(token):
            return answer(401, "error", "e-session-0007", "Invalid Token")
        segments = (await request.json())["exchangeSegmentList"]
        self.masters += 1
        self.early_masters += all(owner != token for owner, *_ in self.subscribed)
        # every fifth or so is wanted
        rows = [row for segment, ids in MASTER.items() if segment in segments for row in map(MASTER_ROWS[segment].format, ids)]
        return answer(200, "success", "s-instruments-0001", "Ok", "\n".join(rows))

    def _snapshots(self, code, wanted):
        quotes = []
        for key in wanted:
            if key not in self.dead:
                quotes.append(self._message(code, key))
                self.snapshots.add(self.sequence)
        return quotes

    async def _connect(self, sid, environ):
        request = environ["aiohttp.request"]
        connection = request["connection"]
        query = request.query
        if not self._counts(query.get("token", "")) or query.get("userID") != "U1" or query.get("EIO") != "3":
            self.refused += 1
            return False
        self.sids[sid] = connection
        self.loop.create_task(self._feed(sid, connection))
        return True

    async def _disconnect(self, sid):
        self.sids.pop(sid, None)

    async def _feed(self, sid, connection):
        """Joins, then sends what is subscribed, and what nobody asked for, until the websocket is gone."""
        while connection.transport is None and connection.closed_at is None:
            await asyncio.sleep(0.01)
        await self._emit(sid, "joined", json.dumps({"type": "success", "code": "s-socket-0001"}))
        connection.joined = True
        due = time.monotonic()
        while sid in self.sids and connection.closed_at is None:
            await asyncio.sleep(0.005)
            queue = self.io.eio.sockets[sid].queue if sid in self.io.eio.sockets else None
            # a vendor whose client does not read throws away what is to come
            if queue is None or queue.qsize() > 2000 or not connection.wanted:
                due = time.monotonic()
                continue
            wanted = sorted(connection.wanted)
            while due < time.monotonic() and sid in self.sids:
                due += 1 / self.rate
                code, key = self.chance.choice(wanted)
                await self._emit(sid, f"{code}-json-full", self._message(code, key))
                if self.chance.random() < 0.1:
                    await self._emit(sid, "1105-json-partial", "t:12_2201,87:-7.75,88:12.90")

    async def _emit(self, sid, event, data):
        """To one client: the public `emit` goes through a manager that Python 3.11 has broken (bare coroutines in `wait`)."""
        await self.io._emit_internal(sid, event, data)

    def _message(self, code, key):
        self.sequence += 1
        at = int(time.time()) - 315_513_000
        message = {"MessageCode": code, "MessageVersion": 4, "ExchangeSegment": key[0], "ExchangeInstrumentID": key[1],
                   "ExchangeTimeStamp": at, "SequenceNumber": self.sequence}
        if code == 1510:
            return json.dumps({**message, "XTSMarketType": 1, "OpenInterest": self.sequence})
        row = {"Size": 1, "Price": 100.05, "TotalOrders": 1, "BuyBackMarketMaker": 0}
        touchline = {"BidInfo": row, "AskInfo": row, "LastTradedPrice": 100.05, "LastTradedQunatity": 1, "TotalBuyQuantity": 1,
                     "TotalSellQuantity": 1, "TotalTradedQuantity": self.sequence, "AverageTradedPrice": 100, "LastTradedTime": at,
                     "LastUpdateTime": at, "PercentChange": -1.1, "Open": 100, "High": 101, "Low": 99, "Close": 100,
                     "TotalValueTraded": None, "BuyBackTotalBuy": 0, "BuyBackTotalSell": 0}
        return json.dumps({**message, "Touchline": touchline, "BookType": 1, "XMarketType": 1, "Note": "₹" + "x" * self.padding})


def instruments(body):
    return [(wanted["exchangeSegment"], wanted["exchangeInstrumentID"]) for wanted in body["instruments"]]


def answer(status, kind, code, description, result=None):
    return aiohttp.web.json_response({"type": kind, "code": code, "description": description, "result": result or {}}, status=status)
