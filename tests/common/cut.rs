//! A TCP proxy on loopback that cuts, stalls or refuses connections at chosen bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a proxy does with one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Lets everything through.
    Through,
    /// Ends it after so many bytes from the server.
    CutDown(usize),
    /// Ends it after so many bytes from the client.
    CutUp(usize),
    /// Lets nothing more through after so many bytes from the server, and keeps it open.
    Stall(usize),
}

/// A proxy before a port of this machine; it ends with its test's process.
pub struct Proxy {
    pub port: u16,
    fates: Arc<Mutex<Vec<Fate>>>,
    /// Connections so far.
    pub connections: Arc<AtomicUsize>,
    /// Bytes from the server and from the client, of the newest connection.
    pub down: Arc<AtomicUsize>,
    pub up: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts one; the fates are those of the connections to come, and whatever comes after them
    /// goes through.
    pub fn before(target: u16, fates: &[Fate]) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            fates: Arc::new(Mutex::new(fates.iter().rev().copied().collect())),
            connections: Arc::default(),
            down: Arc::default(),
            up: Arc::default(),
        };
        let (fates, connections) = (proxy.fates.clone(), proxy.connections.clone());
        let (down, up) = (proxy.down.clone(), proxy.up.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let fate = fates.lock().unwrap().pop().unwrap_or(Fate::Through);
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                down.store(0, Ordering::SeqCst);
                up.store(0, Ordering::SeqCst);
                let (down_limit, up_limit) = match fate {
                    Fate::Through => (usize::MAX, usize::MAX),
                    Fate::CutDown(bytes) | Fate::Stall(bytes) => (bytes, usize::MAX),
                    Fate::CutUp(bytes) => (usize::MAX, bytes),
                };
                let stall = matches!(fate, Fate::Stall(_));
                let pair = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let down = down.clone();
                thread::spawn(move || pump(server, client, down_limit, stall, &down));
                let up = up.clone();
                thread::spawn(move || pump(pair.0, pair.1, up_limit, false, &up));
            }
        });
        proxy
    }
}

/// Copies until the limit, then ends both sides at once; a stall only stops copying.
fn pump(mut from: TcpStream, mut to: TcpStream, limit: usize, stall: bool, count: &AtomicUsize) {
    let mut passed = 0;
    let mut buffer = [0; 4096];
    while passed < limit {
        let room = buffer.len().min(limit - passed);
        match from.read(&mut buffer[..room]) {
            Ok(0) | Err(_) => break,
            Ok(bytes) => {
                if to.write_all(&buffer[..bytes]).is_err() {
                    break;
                }
                passed += bytes;
                count.fetch_add(bytes, Ordering::SeqCst);
            }
        }
    }
    if stall && passed >= limit {
        // Held open for as long as the test's process lives.
        std::mem::forget((from, to));
        return;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
