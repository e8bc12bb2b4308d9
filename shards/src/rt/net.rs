//! Sockets of a shard: wait for readiness through the runtime, move bytes by non-blocking system calls.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::net::{RecvFlags, SendFlags, Shutdown};

/// A connected TCP socket, non-blocking.
pub struct Stream {
    inner: monoio::net::TcpStream,
}

impl Stream {
    /// Takes over an accepted socket; small writes leave at once (TCP_NODELAY), as replies are written whole.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { inner: monoio::net::TcpStream::from_std(stream)? })
    }

    /// Waits until a read would not block (data, end of stream, or an error to fetch).
    pub async fn readable(&self) -> io::Result<()> {
        self.inner.readable(false).await
    }

    /// Waits until a write would not block.
    pub async fn writable(&self) -> io::Result<()> {
        self.inner.writable(false).await
    }

    /// Reads what is there; `WouldBlock` when nothing is, 0 at the end of the stream.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, _) = rustix::net::recv(self.fd(), buffer, RecvFlags::DONTWAIT)?;
        Ok(count)
    }

    /// Writes what fits into the socket's buffer; `more` tells the kernel that the next write follows at once.
    pub fn try_write(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        if more {
            flags |= SendFlags::MORE;
        }
        Ok(rustix::net::send(self.fd(), bytes, flags)?)
    }

    /// Ends reading: a waiting reader wakes up and sees the end of the stream.
    pub fn shutdown_read(&self) {
        // An error means that the peer ended the connection before us.
        let _ = rustix::net::shutdown(self.fd(), Shutdown::Read);
    }

    /// Ends writing: the peer sees the end of the stream after what was written.
    pub fn shutdown_write(&self) {
        let _ = rustix::net::shutdown(self.fd(), Shutdown::Write);
    }

    /// Ends both ways: waiting readers and writers wake up and fail.
    pub fn shutdown_both(&self) {
        let _ = rustix::net::shutdown(self.fd(), Shutdown::Both);
    }

    #[allow(unsafe_code)] // monoio offers the descriptor only as a number
    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `inner` owns the descriptor and keeps it open as long as `self` lives, and the borrow ends before.
        unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) }
    }
}

/// A listening TCP socket, non-blocking, one of several on its port (SO_REUSEPORT).
pub struct Listener {
    inner: std::net::TcpListener,
    /// The same socket under a second descriptor, which the runtime watches.
    watched: monoio::net::TcpListener,
}

impl Listener {
    /// Takes over a socket on which `listen` has been called.
    pub fn from_std(inner: std::net::TcpListener) -> io::Result<Self> {
        inner.set_nonblocking(true)?;
        let watched = monoio::net::TcpListener::from_std(inner.try_clone()?)?;
        Ok(Self { inner, watched })
    }

    /// Waits until a connection is waiting or the listener is closed.
    pub async fn readable(&self) -> io::Result<()> {
        self.watched.readable(false).await
    }

    /// Takes a waiting connection; `WouldBlock` when there is none.
    pub fn try_accept(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        self.inner.accept()
    }

    /// Stops listening: the port is refused from now on and a waiting accept loop wakes up.
    pub fn close(&self) {
        let _ = rustix::net::shutdown(self.inner.as_fd(), Shutdown::Both);
    }
}
