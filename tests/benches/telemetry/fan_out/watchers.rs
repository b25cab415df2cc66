//! Many who watch streams over HTTP from one thread, and only count: what is to be measured is who sends.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kinetic_testkit::live::PATIENCE;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// What is read at once by those who read as fast as they can; they share it.
const BUFFER_BYTES: usize = 1 << 20;
/// Of the slow ones: what one reads at once and how often, 1 KB a second, and what the kernel may hold for it.
const SIP_BYTES: usize = 256;
const SIP_EVERY: Duration = Duration::from_millis(250);
const SLOW_WINDOW_BYTES: u32 = 4 << 10;
/// Lines of a frame: `id`, `event`, `data` and the empty one.
const FRAME_LINES: u64 = 4;
/// The end of a stream in which the last id is looked for; frames are shorter.
const TAIL_BYTES: usize = 4 << 10;

/// How they read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Fast,
    /// 1 KB a second.
    Slow,
}

/// How many events each of them has.
#[derive(Clone)]
pub struct Counts(Arc<[AtomicU64]>);

impl Counts {
    /// How many the last of them has.
    pub fn least(&self) -> u64 {
        let counts = self.0.iter().map(|count| count.load(Ordering::Acquire));
        counts.min().unwrap_or_default()
    }
}

/// Some who watch.
pub struct Watchers {
    pub counts: Counts,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Vec<Seen>>,
}

/// What one of them got.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub events: u64,
    /// What their frames take.
    pub bytes: u64,
    /// The id of the last event.
    pub last_id: String,
}

impl Watchers {
    /// Begins to watch; returns when all of them are answered.
    pub fn open(address: SocketAddr, path: &str, count: usize, pace: Pace) -> Self {
        let counts = Counts((0..count).map(|_| AtomicU64::new(0)).collect());
        let (stop, stopped) = oneshot::channel();
        let (opened, all_open) = std::sync::mpsc::channel();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n");
        let Counts(shared) = counts.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, async {
                let streams: Rc<Vec<_>> = Rc::new((0..count).map(|_| RefCell::new(Stream::default())).collect());
                let buffer = Rc::new(RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice()));
                for number in 0..count {
                    let mut connection = connect(address, pace).await.unwrap();
                    connection.write_all(request.as_bytes()).await.unwrap();
                    let (streams, buffer, shared) = (streams.clone(), buffer.clone(), shared.clone());
                    let opened = opened.clone();
                    tokio::task::spawn_local(async move {
                        let mut open = Some(opened);
                        loop {
                            let read = match pace {
                                Pace::Fast => gulp(&mut connection, &streams[number], &buffer).await,
                                Pace::Slow => sip(&mut connection, &streams[number]).await,
                            };
                            if read.unwrap() == 0 {
                                return;
                            }
                            let stream = streams[number].borrow();
                            if stream.begun()
                                && let Some(opened) = open.take()
                            {
                                opened.send(()).unwrap();
                            }
                            shared[number].store(stream.events(), Ordering::Release);
                        }
                    });
                }
                let _ = stopped.await;
                streams.iter().map(|stream| stream.borrow().seen()).collect()
            })
        });
        for _ in 0..count {
            all_open.recv_timeout(PATIENCE).expect("everybody is answered");
        }
        Self { counts, stop, thread }
    }

    /// Waits until everybody has so many events.
    pub fn wait_for(&self, events: u64) {
        let (mut begun, mut before) = (Instant::now(), 0);
        loop {
            let least = self.counts.least();
            if least >= events {
                return;
            }
            if least > before {
                (begun, before) = (Instant::now(), least);
            }
            assert!(begun.elapsed() < PATIENCE, "{least} of {events} came");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends, and tells what everybody got.
    pub fn stop(self) -> Vec<Seen> {
        let _ = self.stop.send(());
        self.thread.join().unwrap()
    }
}

async fn connect(address: SocketAddr, pace: Pace) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if pace == Pace::Slow {
        socket.set_recv_buffer_size(SLOW_WINDOW_BYTES)?;
    }
    socket.connect(address).await
}

/// Reads what is there, into memory that all share, so that it stays in the processor's cache.
async fn gulp(connection: &mut TcpStream, stream: &RefCell<Stream>, buffer: &RefCell<Box<[u8]>>) -> io::Result<usize> {
    poll_fn(|context| {
        let mut buffer = buffer.borrow_mut();
        let mut read = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut *connection).poll_read(context, &mut read))?;
        stream.borrow_mut().take(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    })
    .await
}

async fn sip(connection: &mut TcpStream, stream: &RefCell<Stream>) -> io::Result<usize> {
    tokio::time::sleep(SIP_EVERY).await;
    let mut buffer = [0; SIP_BYTES];
    let read = connection.read(&mut buffer).await?;
    stream.borrow_mut().take(&buffer[..read]);
    Ok(read)
}

/// One answer in chunks (RFC 9112, 7.1), its frames counted by their lines.
#[derive(Default)]
struct Stream {
    at: At,
    /// Lines in chunks of events.
    lines: u64,
    bytes: u64,
    tail: Vec<u8>,
}

#[derive(Debug, Default, PartialEq)]
enum At {
    /// In its head, of which this came.
    #[default]
    Nothing,
    Head(Vec<u8>),
    /// In the length of a chunk.
    Length(usize),
    /// In a chunk of which so many bytes are yet to come.
    Chunk {
        left: usize,
        what: What,
    },
    /// Behind a chunk, before so many bytes of its end.
    Behind(usize),
    /// Behind the last chunk.
    Over,
}

/// What is in a chunk: frames are never cut.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// Not known yet.
    Unseen,
    Events,
    /// Where the stream begins, or a sign of life.
    Else,
}

impl Stream {
    fn begun(&self) -> bool {
        !matches!(self.at, At::Nothing | At::Head(_))
    }

    fn events(&self) -> u64 {
        self.lines / FRAME_LINES
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match std::mem::take(&mut self.at) {
                At::Nothing => self.take_head(Vec::new(), bytes),
                At::Head(head) => self.take_head(head, bytes),
                At::Length(length) => self.take_length(length, bytes),
                At::Chunk { left, what } => self.take_chunk(left, what, bytes),
                At::Behind(left) => {
                    let rest = left.saturating_sub(bytes.len());
                    self.at = if rest == 0 { At::Length(0) } else { At::Behind(rest) };
                    &bytes[left.min(bytes.len())..]
                }
                At::Over => {
                    self.at = At::Over;
                    &[]
                }
            };
        }
    }

    fn take_head<'b>(&mut self, mut head: Vec<u8>, bytes: &'b [u8]) -> &'b [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            head.push(*byte);
            if head.ends_with(b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
                assert!(text.starts_with("http/1.1 200 "), "{text}");
                assert!(text.contains("\r\ntransfer-encoding: chunked\r\n"), "{text}");
                self.at = At::Length(0);
                return &bytes[at + 1..];
            }
        }
        self.at = At::Head(head);
        &[]
    }

    fn take_length<'b>(&mut self, mut length: usize, bytes: &'b [u8]) -> &'b [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\r' => {}
                b'\n' => {
                    let chunk = At::Chunk {
                        left: length,
                        what: What::Unseen,
                    };
                    self.at = if length == 0 { At::Over } else { chunk };
                    return &bytes[at + 1..];
                }
                digit => length = length * 16 + char::from(*digit).to_digit(16).unwrap() as usize,
            }
        }
        self.at = At::Length(length);
        &[]
    }

    fn take_chunk<'b>(&mut self, left: usize, what: What, bytes: &'b [u8]) -> &'b [u8] {
        let (part, rest) = bytes.split_at(left.min(bytes.len()));
        let what = match (what, part[0]) {
            (What::Unseen, b'i') => What::Events,
            // A frame in which the stream tells of itself comes once, at its begin.
            (What::Unseen, b'e') if self.lines == 0 => What::Else,
            (What::Unseen, b':') => What::Else,
            (What::Unseen, _) => panic!("{}", String::from_utf8_lossy(part)),
            (known, _) => known,
        };
        let left = left - part.len();
        if what == What::Events {
            self.lines += lines(part);
            self.bytes += part.len() as u64;
            self.remember(part);
        }
        self.at = if left > 0 {
            At::Chunk { left, what }
        } else {
            assert_eq!(self.lines % FRAME_LINES, 0, "whole frames");
            At::Behind(2)
        };
        rest
    }

    fn remember(&mut self, part: &[u8]) {
        self.tail
            .extend_from_slice(&part[part.len().saturating_sub(TAIL_BYTES)..]);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
    }

    fn seen(&self) -> Seen {
        let tail = String::from_utf8_lossy(&self.tail);
        let last = tail.lines().rev().find_map(|line| line.strip_prefix("id: "));
        Seen {
            events: self.events(),
            bytes: self.bytes,
            last_id: last.unwrap_or_default().into(),
        }
    }
}

/// Line feeds, counted in bytes as far as these can, which compilers do many at a time.
fn lines(bytes: &[u8]) -> u64 {
    let few = |bytes: &[u8]| {
        let count = bytes
            .iter()
            .fold(0_u8, |count, byte| count.wrapping_add(u8::from(*byte == b'\n')));
        u64::from(count)
    };
    bytes.chunks(usize::from(u8::MAX)).map(few).sum()
}
