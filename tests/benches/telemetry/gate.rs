//! The forget gate in the stream buffer's component: tokens per second of processor time, at a level that drops half.

use kinetic_medallion::subsystem::buffer::{LevelChange, Setting, StreamBuffer};
use kinetic_testkit::batches::{Offered, offered};
use kinetic_testkit::engine::runtime;

use crate::{BATCH_ROWS, cpu_seconds, load, peer};

const TOKENS: u64 = 32 * BATCH_ROWS;
const LEVEL: u16 = 128;
const SOME: [&str; 16] = [
    "um", "wait", "valid", "text", "and", "um", "so", "we", "go", "on", "um", "to", "the", "next", "one", "now",
];

fn batch(mix: &[&str], first: u64) -> Vec<u8> {
    let event = |n: u64| Offered {
        stream: "stream-a".into(),
        sequence: Some(n),
        priority: 1,
        tier: Some(2),
        token: mix[n as usize % mix.len()].into(),
    };
    offered(&(first..first + BATCH_ROWS).map(event).collect::<Vec<_>>())
}

/// Tokens per second of processor time in `offer`, and how many were kept.
async fn offer(mix: &[&str]) -> (f64, u64) {
    let mut buffer = StreamBuffer::new(&load("stream_buffer").await).await.unwrap();
    let settings = [
        ("buffer-events", "1000000"),
        ("buffer-bytes", "134217728"),
        ("shed-tokens", "um"),
    ];
    let settings = settings.map(|(key, value)| Setting {
        key: key.into(),
        value: value.into(),
    });
    buffer.start(&settings).await.result.unwrap().unwrap();
    let level = LevelChange {
        stream: "stream-a".into(),
        from_sequence: 0,
        level: LEVEL,
    };
    buffer.follow(&[level]).await.result.unwrap().unwrap();
    let (mut spent, mut kept) = (0.0, 0);
    for first in (0..TOKENS).step_by(BATCH_ROWS as usize) {
        let batch = batch(mix, first);
        let begun = cpu_seconds();
        let admission = buffer.offer(&batch).await.result.unwrap().unwrap();
        spent += cpu_seconds() - begun;
        assert_eq!(admission.refused, 0);
        kept += admission.kept;
        let pulled = buffer.pull(u32::MAX, u64::MAX).await.result.unwrap().unwrap();
        buffer.acknowledge(pulled.up_to).await.result.unwrap().unwrap();
    }
    (TOKENS as f64 / spent, kept)
}

pub fn measure() {
    let peers = peer::run("forget_gate.py", &["1000000"]);
    let runtime = runtime();
    for (name, mix) in [("all", &["um"][..]), ("3_of_16", &SOME), ("none", &["valid"])] {
        let (rate, kept) = runtime.block_on(offer(mix));
        println!(
            "stream buffer, component, matching {name}: {:.1} M tokens per cpu-second, {kept} of {TOKENS} kept",
            rate / 1e6
        );
        let peer = peers.iter().find(|peer| peer["matching"] == name);
        if let Some(peer) = peer.and_then(|peer| peer["tokens_per_cpu_s"].as_f64()) {
            println!("ratio, matching {name}: {:.1}", rate / peer);
        }
    }
}
