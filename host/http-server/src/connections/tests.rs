use std::future::ready;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that accepts until it is told to stop.
struct Serving {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    accepting: JoinHandle<Open>,
}

impl Serving {
    async fn with<F>(header_timeout: Duration, connected: impl Fn(Connection) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits {
            connections_max: 1,
            header_timeout,
            headers_max: 64,
            header_bytes_max: 32_768,
            write_stall: PATIENCE,
        };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let accepting = tokio::spawn(accept_until(listener, limits, shutdown, connected));
        Self {
            address,
            stop,
            accepting,
        }
    }

    async fn stops(self) -> Open {
        self.stop.send(()).unwrap();
        self.accepting.await.unwrap()
    }
}

/// Sends and reads until the other side closes.
async fn exchanged(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn whoever_says_nothing_gives_the_only_place_back_also_before_a_layer_came_about() {
    let serving = Serving::with(Duration::from_secs(1), |connection| async move {
        // Stands for a handshake: it is through after one byte.
        let layered = connection.over(|mut stream| async move { stream.read_u8().await.map(|_| stream) });
        if let Some(connection) = layered.await {
            connection.serve(|_| ready(Response::new(Body::from("hello")))).await;
        }
    })
    .await;
    let silent = TcpStream::connect(serving.address).await.unwrap();
    let answer = exchanged(serving.address, &format!("x{REQUEST}")).await;
    assert!(answer.ends_with("hello"), "{answer}");
    let mut begun = TcpStream::connect(serving.address).await.unwrap();
    begun.write_all(b"xGET /").await.unwrap();
    let answer = exchanged(serving.address, &format!("x{REQUEST}")).await;
    assert!(answer.ends_with("hello"), "{answer}");
    drop((silent, begun));
}

/// A server whose answers wait for the second after they told the first.
async fn waiting() -> (Serving, Arc<Notify>, Arc<Notify>) {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let both = (asked.clone(), go.clone());
    let serving = Serving::with(PATIENCE, move |connection| {
        let (asked, go) = both.clone();
        connection.serve(move |_| {
            let (asked, go) = (asked.clone(), go.clone());
            async move {
                asked.notify_one();
                go.notified().await;
                Response::new(Body::from("late"))
            }
        })
    })
    .await;
    (serving, asked, go)
}

#[tokio::test]
async fn an_answer_under_way_is_finished_and_nothing_new_is_accepted() {
    let (serving, asked, go) = waiting().await;
    let address = serving.address;
    let exchange = tokio::spawn(exchanged(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    timeout(PATIENCE, asked.notified()).await.unwrap();
    let mut open = serving.stops().await;
    assert!(TcpStream::connect(address).await.is_err());
    let first = async { go.notify_one() };
    assert!(open.drain(PATIENCE, first).await);
    // Its connection would have stayed open otherwise.
    assert!(exchange.await.unwrap().ends_with("late"));
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut() {
    let (serving, asked, _go) = waiting().await;
    let exchange = tokio::spawn(exchanged(serving.address, REQUEST));
    timeout(PATIENCE, asked.notified()).await.unwrap();
    let mut open = serving.stops().await;
    assert!(!open.drain(Duration::from_millis(20), ready(())).await);
    open.cut().await;
    assert_eq!(exchange.await.unwrap(), "");
}
