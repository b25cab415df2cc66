//! Somebody between a host and a registry: passes on what both say, notes what was asked for, cuts downloads off, and tells
//! other things than the registry did.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked for and how much of it came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Method and path.
    pub what: String,
    /// The first byte that was asked for.
    pub from: u64,
    /// How many bytes of the body were passed on.
    pub bytes: u64,
}

/// Listens until the process ends.
pub struct Between {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    ways: Arc<Mutex<Ways>>,
    passed: Arc<Mutex<Vec<Passed>>>,
}

/// What is not passed on as it was said.
#[derive(Default)]
struct Ways {
    /// After how many bytes the next downloads are cut off, the last one first.
    cuts: Vec<u64>,
    /// A text in what is no download, and another one of the same length that is told instead.
    instead: Option<(String, String)>,
}

impl Between {
    /// Before the server at that URL, which is `http://ADDRESS`.
    pub fn before(server: &str) -> Self {
        let server: SocketAddr = server.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let between = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            ways: Arc::default(),
            passed: Arc::default(),
        };
        let (ways, passed) = (between.ways.clone(), between.passed.clone());
        std::thread::spawn(move || {
            for peer in listener.incoming().flatten() {
                let (ways, passed) = (ways.clone(), passed.clone());
                std::thread::spawn(move || pass(peer, server, &ways, &passed));
            }
        });
        between
    }

    /// The next downloads are cut off after so many bytes each, in this order.
    pub fn cut(&self, after: impl IntoIterator<Item = u64>) {
        let mut cuts: Vec<u64> = after.into_iter().collect();
        cuts.reverse();
        self.ways.lock().unwrap().cuts = cuts;
    }

    /// From now on the one text is told for the other, wherever it is said outside of downloads.
    pub fn tell(&self, text: &str, instead: &str) {
        assert_eq!(text.len(), instead.len(), "lengths are announced before");
        self.ways.lock().unwrap().instead = Some((text.into(), instead.into()));
    }

    /// The downloads since this was asked the last time.
    pub fn downloads(&self) -> Vec<Passed> {
        let all = std::mem::take(&mut *self.passed.lock().unwrap());
        all.into_iter().filter(|one| one.what.ends_with("/download")).collect()
    }
}

/// One request, its answer, and then the connection is closed.
fn pass(mut peer: TcpStream, server: SocketAddr, ways: &Mutex<Ways>, passed: &Mutex<Vec<Passed>>) -> Option<()> {
    let (request, _) = head(&mut peer)?;
    let what = request.lines().next()?.rsplit_once(' ')?.0.to_string();
    let from = field(&request, "range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let mut there = TcpStream::connect(server).ok()?;
    there.write_all(request.as_bytes()).ok()?;
    let (answer, mut body) = head(&mut there)?;
    let length: usize = field(&answer, "content-length")?.parse().ok()?;
    while body.len() < length {
        let mut piece = [0; 16_384];
        let read = there.read(&mut piece).ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&piece[..read]);
    }
    if what.ends_with("/download") {
        let cut = ways.lock().unwrap().cuts.pop();
        let cut = cut.and_then(|cut| usize::try_from(cut).ok());
        body.truncate(cut.unwrap_or(length));
    } else if let Some((text, instead)) = &ways.lock().unwrap().instead {
        body = String::from_utf8(body).ok()?.replace(text, instead).into_bytes();
    }
    // Noted before it is passed on: whoever has it can ask what it was.
    passed.lock().unwrap().push(Passed {
        what,
        from: from.unwrap_or(0),
        bytes: body.len() as u64,
    });
    let answer = answer.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    peer.write_all(answer.as_bytes()).ok()?;
    peer.write_all(&body).ok()?;
    peer.shutdown(Shutdown::Both).ok()
}

/// What comes up to the empty line, and what was read behind it.
pub(crate) fn head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&piece[..count]);
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let behind = read.split_off(end + 4);
            return Some((String::from_utf8(read).ok()?, behind));
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut of_name = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    of_name.next().map(|(_, value)| value.trim())
}
