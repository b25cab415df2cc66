"""Server-sent events from asyncio to READERS readers for SECONDS, BATCH events at once: a queue for each reader, frames encoded
once, all that a queue holds written together. Prints the port, and then one JSON line of figures."""
import asyncio, json, platform, sys, time

READERS, SECONDS, BATCH = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
QUEUED_MAX = 64
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = {"choices": [{"index": 0, "delta": {"content": " token17"}}], "model": "SmolLM2-135M", "object": "chat.completion.chunk"}
EVENT = {
    "stream": "wf-0-1/intent-123", "sequence": 123, "priority": "INFO", "received_unix_ns": 1763769600000000000, "workflow_id": "wf-0-1",
    "intent_id": "intent-123", "node_cid": "llm-0", "kind": "openai_chat", "data": CHUNK,
}
REST = b"event: telemetry.events.v1\ndata: %b\n\n" % json.dumps(EVENT, separators=(",", ":")).encode()

queues = []


async def serve(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD)
    queue = asyncio.Queue(QUEUED_MAX)
    queues.append(queue)
    ended = False
    while not ended:
        frames = [await queue.get()]
        while not queue.empty():
            frames.append(queue.get_nowait())
        if ended := frames[-1] is None:
            frames.pop()
        if frames:
            body = frames[0] if len(frames) == 1 else b"".join(frames)
            writer.write(b"%x\r\n" % len(body) + body + b"\r\n")
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    queues.remove(queue)
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=READERS)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while len(queues) < READERS:
        await asyncio.sleep(0.01)
    began, cpu, events = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < SECONDS:
        batch = b"".join(b"id: 0-%d\n" % n + REST for n in range(events, events + BATCH))
        events += BATCH
        for queue in queues:
            await queue.put(batch)
        await asyncio.sleep(0)
    for queue in list(queues):
        await queue.put(None)
    while queues:
        await asyncio.sleep(0.001)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps({
        "peer": "asyncio", "python": platform.python_version(), "readers": READERS, "batch": BATCH, "events": events,
        "frame_bytes": len(REST) + 12, "deliveries_per_s": round(events * READERS / took),
        "deliveries_per_cpu_s": round(events * READERS / cpu),
    }), flush=True)


asyncio.run(main())
