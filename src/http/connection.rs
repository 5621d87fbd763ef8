//! One connection's byte stream: holds the head of a request to its deadline, and repairs quotation marks in its
//! target.
//!
//! Clients write `?filter=userName eq "x"` with the quotation marks as they are. A URI may not hold them (RFC 3986
//! §2), and hyper refuses the request before we see it, so they are percent-encoded on the way in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Whose turn it is on a connection; shared by the stream, the body and the service.
#[derive(Debug, Clone)]
pub(super) struct Turn(Arc<State>);

#[derive(Debug)]
struct State {
    phase: AtomicU8,
    body_unread: AtomicBool,
}

/// The next byte is the first of a request.
const WAITING: u8 = 0;
/// In the request line.
const LINE: u8 = 1;
/// After the request line, before the end of the head.
const HEADERS: u8 = 2;
/// A request is being answered; what comes is its body.
const ANSWERING: u8 = 3;

impl Turn {
    fn phase(&self) -> u8 {
        self.0.phase.load(Ordering::Acquire)
    }

    fn set_phase(&self, phase: u8) {
        self.0.phase.store(phase, Ordering::Release);
    }

    /// A request's head is complete.
    pub(super) fn begin(&self) {
        self.set_phase(ANSWERING);
    }

    /// The answer is ready. If the body was not read to its end, what comes next is not known to be a request line:
    /// then nothing is touched any more, since a change of length inside a body would shift the requests behind it.
    pub(super) fn end(&self) {
        let known = !self.0.body_unread.load(Ordering::Acquire);
        self.set_phase(if known { WAITING } else { ANSWERING });
    }
}

/// A stream, encrypted or not, as hyper reads it.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    turn: Turn,
    header_read: Duration,
    /// Runs while a head is being read.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Connection<S> {
    /// Wraps a fresh connection; its first head is due from now on.
    pub(super) fn new(stream: S, header_read: Duration) -> (Self, Turn) {
        let turn = Turn(Arc::new(State { phase: AtomicU8::new(LINE), body_unread: AtomicBool::new(false) }));
        let deadline = Some(Box::pin(sleep(header_read)));
        (Self { stream, turn: turn.clone(), header_read, deadline }, turn)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let phase = self.turn.phase();
        if matches!(phase, ANSWERING | WAITING) {
            // The head that the deadline was for has come.
            self.deadline = None;
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        // Encoding makes three bytes out of one.
        let room = buf.remaining() / 3;
        if matches!(phase, HEADERS | ANSWERING) || room == 0 {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let mut chunk = [0; 4096];
        let (chunk, _) = chunk.split_at_mut(room.min(4096));
        let mut chunk = ReadBuf::new(chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
        let read = chunk.filled();
        if phase == WAITING && !read.is_empty() {
            self.deadline = Some(Box::pin(sleep(self.header_read)));
            self.turn.set_phase(LINE);
        }
        let line_end = read.iter().position(|byte| *byte == b'\n');
        let (line, rest) = read.split_at(line_end.unwrap_or(read.len()));
        for byte in line {
            if *byte == b'"' {
                buf.put_slice(b"%22");
            } else {
                buf.put_slice(&[*byte]);
            }
        }
        buf.put_slice(rest);
        if line_end.is_some() {
            self.turn.set_phase(HEADERS);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A request's body that tells the connection when it has been read to its end, and ends early if it takes too long.
#[derive(Debug)]
pub(super) struct TrackedBody {
    body: Incoming,
    turn: Turn,
    deadline: Pin<Box<Sleep>>,
}

impl TrackedBody {
    pub(super) fn new(body: Incoming, turn: Turn, body_read: Duration) -> Self {
        turn.0.body_unread.store(!body.is_end_stream(), Ordering::Release);
        Self { body, turn, deadline: Box::pin(sleep(body_read)) }
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.deadline.as_mut().poll(cx));
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        };
        if frame.is_none() || self.body.is_end_stream() {
            self.turn.0.body_unread.store(false, Ordering::Release);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
