//! The loop: waits, accepts, reads, says, and closes what is over at the end of each turn.

use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr;

use memchr::memmem::{self, Finder};
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::conn::{Conn, Listed, Speaks, Wrote};
use crate::group::{FORMS, Form, GROUPS, Group};
use crate::speak;

const LISTENER: Token = Token(usize::MAX);

/// Connections whose handshake is done and that wait to be accepted: as the servers under comparison have it, and more.
const BACKLOG: i32 = 1024;

const EVENTS_PER_TURN: usize = 1024;

/// What one read takes: more than sixteen pipelined requests.
const READ_BYTES: usize = 64 * 1024;

/// What a head, and a publish, may take before it is given up.
const PIECE_BYTES_MAX: usize = 16 * 1024;

pub(crate) struct Server {
    poll: Poll,
    listener: TcpListener,
    conns: Vec<Option<Conn>>,
    free: Vec<u32>,
    groups: Vec<Group>,
    batch: bool,
    /// Groups that have something to say at the end of the turn, and
    dirty: Vec<u32>,
    /// connections that end then.
    over: Vec<u32>,
    /// What those that were read from in this turn are answered, one behind the other.
    answers: Vec<u8>,
    /// Whose answers those are, each up to where it ends: a write each, at the turn's end.
    writes: Vec<(u32, usize)>,
    blank_line: Finder<'static>,
    content_length: Finder<'static>,
}

impl Server {
    pub(crate) fn bind(address: SocketAddr, batch: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        // What is accepted inherits it, which spares a call for each.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            conns: Vec::new(),
            free: Vec::new(),
            groups: (0..GROUPS).map(|_| Group::default()).collect(),
            batch,
            dirty: Vec::new(),
            over: Vec::new(),
            answers: Vec::new(),
            writes: Vec::new(),
            blank_line: Finder::new(b"\r\n\r\n"),
            content_length: Finder::new(b"Content-Length: "),
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until waiting fails.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    Token(slot) => self.handle_ready(slot as u32, event, &mut buffer),
                }
            }
            self.say();
            while let Some(group) = self.dirty.pop() {
                self.deliver(group);
            }
            while let Some(slot) = self.over.pop() {
                self.close(slot);
            }
        }
    }

    /// Accepts all that wait. Out of descriptors, they wait for the next that comes.
    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let slot = self.free.pop().unwrap_or(self.conns.len() as u32);
            let token = Token(slot as usize);
            if self.poll.registry().register(&mut stream, token, Interest::READABLE).is_err() {
                self.free.push(slot);
                continue;
            }
            let conn = Some(Conn::new(stream));
            match self.conns.get_mut(slot as usize) {
                Some(place) => *place = conn,
                None => self.conns.push(conn),
            }
        }
    }

    fn conn(&mut self, slot: u32) -> Option<&mut Conn> {
        self.conns.get_mut(slot as usize)?.as_mut().filter(|conn| !conn.is_over)
    }

    fn handle_ready(&mut self, slot: u32, event: &Event, buffer: &mut [u8]) {
        if event.is_writable() {
            self.flush(slot);
        }
        while let Some(conn) = self.conn(slot) {
            match conn.read(buffer) {
                None => break,
                Some(0) => self.end(slot),
                Some(count) => {
                    self.hear(slot, &mut buffer[..count]);
                    // The edge will not come again for what was there before the other side closed.
                    if count < buffer.len() && !event.is_read_closed() {
                        break;
                    }
                }
            }
        }
    }

    fn flush(&mut self, slot: u32) {
        let registry = self.poll.registry();
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        let is_all = conn.flush();
        let is_well = match is_all {
            Ok(false) => true,
            Ok(true) => {
                registry.reregister(&mut conn.stream, Token(slot as usize), Interest::READABLE).is_ok()
            }
            Err(_) => false,
        };
        if !is_well {
            self.end(slot);
        }
    }

    fn write(&mut self, slot: u32, bytes: &[u8]) {
        let registry = self.poll.registry();
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if conn.is_over {
            return;
        }
        let both = Interest::READABLE | Interest::WRITABLE;
        let is_well = match conn.write(bytes) {
            Wrote::All => true,
            Wrote::Blocked => registry.reregister(&mut conn.stream, Token(slot as usize), both).is_ok(),
            Wrote::Failed => false,
        };
        if !is_well {
            self.end(slot);
        }
    }

    /// Says what it is answered; nothing more is read or written then, and it is closed at the end of the turn.
    fn end(&mut self, slot: u32) {
        self.say();
        if let Some(conn) = self.conn(slot) {
            conn.is_over = true;
            self.over.push(slot);
        }
    }

    fn close(&mut self, slot: u32) {
        let Some(conn) = self.conns[slot as usize].take() else { return };
        self.free.push(slot);
        let Some(Listed { group, form, place }) = conn.listed else { return };
        let listeners = &mut self.groups[group as usize].listeners[form as usize];
        listeners.swap_remove(place as usize);
        let moved = listeners.get(place as usize).copied();
        if let Some(Some(Conn { listed: Some(listed), .. })) =
            moved.and_then(|moved| self.conns.get_mut(moved as usize))
        {
            listed.place = place;
        }
    }

    /// Takes what was read behind what is held.
    fn hear(&mut self, slot: u32, bytes: &mut [u8]) {
        let Some(conn) = self.conn(slot) else { return };
        let mut held = mem::take(&mut conn.held);
        if held.is_empty() {
            let used = self.take(slot, bytes);
            held.extend_from_slice(&bytes[used..]);
        } else {
            held.extend_from_slice(bytes);
            let used = self.take(slot, &mut held);
            held.drain(..used);
        }
        if let Some(conn) = self.conn(slot) {
            conn.held = held;
        }
    }

    /// Takes what is whole, and says how much that was.
    fn take(&mut self, slot: u32, bytes: &mut [u8]) -> usize {
        let mut used = 0;
        while let Some(conn) = self.conn(slot)
            && used < bytes.len()
        {
            let rest = &mut bytes[used..];
            let taken = match conn.speaks {
                Speaks::Requests => self.take_request(slot, rest),
                Speaks::Texts { .. } | Speaks::Stomp => self.take_frame(slot, rest),
                Speaks::Nothing => rest.len(),
            };
            if taken == 0 {
                break;
            }
            used += taken;
            self.answered(slot);
        }
        used
    }

    /// What has been added to the answers is this connection's: a write of its own, or with `--batch` one with what
    /// lies before it.
    fn answered(&mut self, slot: u32) {
        let end = self.answers.len();
        match self.writes.last_mut() {
            Some((_, last)) if *last == end => {}
            None if end == 0 => {}
            Some((before, last)) if self.batch && *before == slot => *last = end,
            _ => self.writes.push((slot, end)),
        }
    }

    /// Writes all answers. It is done before anything is delivered, so that an answer goes before what follows it.
    fn say(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let mut answers = mem::take(&mut self.answers);
        let mut writes = mem::take(&mut self.writes);
        let mut start = 0;
        for (slot, end) in writes.drain(..) {
            self.write(slot, &answers[start..end]);
            start = end;
        }
        answers.clear();
        self.answers = answers;
        self.writes = writes;
    }

    /// Tells requests apart by the letter behind `/` and, below `/location/`, the one behind that.
    fn take_request(&mut self, slot: u32, input: &[u8]) -> usize {
        let Some(blank_line) = self.blank_line.find(input) else {
            if input.len() > PIECE_BYTES_MAX {
                self.end(slot);
            }
            return 0;
        };
        let (head, rest) = input.split_at(blank_line + 4);
        let behind = |start: &str| head.get(start.len()..).unwrap_or_default();
        match (head[0], head.get(5), head.get(6), head.get(14), head.get(15)) {
            (b'G', Some(b'c'), ..) => self.answer_short_poll(head, behind("GET /cur/")),
            (b'G', Some(b'l'), _, Some(b'c'), _) => {
                self.answer_short_poll(head, behind("GET /location/cur/"));
            }
            (b'G', Some(b'l'), _, Some(b'l'), _) => {
                self.answer_long_poll(slot, behind("GET /location/long/"));
            }
            (b'G', Some(b'l'), _, Some(b's'), _) => {
                self.answers.extend_from_slice(speak::STREAM);
                self.listen(slot, behind("GET /location/sse/"), Form::Event, Speaks::Nothing);
            }
            (b'G', Some(b'l'), _, Some(b'H'), _) => self.upgrade(slot, head, None),
            (b'G', Some(b'w'), ..) => self.upgrade(slot, head, Some(behind("GET /ws/"))),
            (b'P', _, Some(b'l'), _, Some(b's')) => {
                return self.take_publish(slot, head, rest, behind("POST /location/share/"));
            }
            (b'P', _, Some(b'c'), ..) => return self.take_publish(slot, head, rest, behind("POST /cur/")),
            _ => self.refuse(slot),
        }
        head.len()
    }

    fn refuse(&mut self, slot: u32) {
        self.answers.extend_from_slice(speak::NOT_FOUND);
        self.answered(slot);
        self.end(slot);
    }

    /// `If-None-Match`, if it is there, is the last line.
    fn answer_short_poll(&mut self, head: &[u8], digits: &[u8]) {
        let group = &self.groups[speak::number(digits) % GROUPS];
        let known =
            head.strip_suffix(b"\"\r\n\r\n").and_then(|head| head.last_chunk::<{ speak::SEQ_DIGITS }>());
        self.answers.extend_from_slice(match known {
            _ if group.current.is_empty() => speak::MADE_UP,
            Some(known) if group.is_newest(known) => &group.unchanged,
            Some(_) | None => &group.current,
        });
    }

    /// `digits` are the group's, then `?since=` and more digits, or `?timeout=0` where only the cursor is asked for.
    fn answer_long_poll(&mut self, slot: u32, digits: &[u8]) {
        let query = digits.iter().position(|byte| *byte == b'?').unwrap_or_default();
        let (number, query) = (speak::number(digits), &digits[query..]);
        let group = &self.groups[number % GROUPS];
        match query.strip_prefix(b"?since=") {
            None => group.encode_cursor(&mut self.answers),
            Some(since) => match group.answer_after(speak::number(since)) {
                Some(answer) => self.answers.extend_from_slice(answer),
                None => self.listen(slot, digits, Form::LongPoll, Speaks::Requests),
            },
        }
    }

    fn take_publish(&mut self, slot: u32, head: &[u8], rest: &[u8], digits: &[u8]) -> usize {
        let length = self.content_length.find(head).map_or(0, |at| speak::number(&head[at + 16..]));
        if length > PIECE_BYTES_MAX {
            self.refuse(slot);
            return head.len();
        }
        let Some(body) = rest.get(..length) else { return 0 };
        let group = (speak::number(digits) % GROUPS) as u32;
        if self.publish(group, body) {
            speak::published(&mut self.answers, &self.groups[group as usize].update);
        } else {
            self.refuse(slot);
        }
        head.len() + length
    }

    /// Publishes what stands between the braces of a body, if it has any.
    fn publish(&mut self, group: u32, body: &[u8]) -> bool {
        let said = body.strip_prefix(b"{").and_then(|body| body.strip_suffix(b"}"));
        let Some(said) = said.filter(|said| !said.is_empty()) else { return false };
        let place = &mut self.groups[group as usize];
        place.publish(said);
        if !self.batch {
            self.deliver(group);
        } else if !mem::replace(&mut place.is_dirty, true) {
            self.dirty.push(group);
        }
        true
    }

    /// Writes what a group has to say to those who listen.
    fn deliver(&mut self, group: u32) {
        self.say();
        self.groups[group as usize].is_dirty = false;
        for form in FORMS {
            let place = &mut self.groups[group as usize];
            if place.unsaid[form as usize].is_empty() {
                continue;
            }
            let mut unsaid = mem::take(&mut place.unsaid[form as usize]);
            let mut listeners = mem::take(&mut place.listeners[form as usize]);
            for slot in &listeners {
                self.write(*slot, &unsaid);
                if form == Form::LongPoll
                    && let Some(Some(conn)) = self.conns.get_mut(*slot as usize)
                {
                    conn.listed = None;
                }
            }
            if form == Form::LongPoll {
                listeners.clear();
            }
            unsaid.clear();
            let place = &mut self.groups[group as usize];
            place.unsaid[form as usize] = unsaid;
            place.listeners[form as usize] = listeners;
        }
    }

    /// Lists a connection in the group whose number `digits` begin with; its answer goes before all that is delivered.
    fn listen(&mut self, slot: u32, digits: &[u8], form: Form, speaks: Speaks) {
        let group = (speak::number(digits) % GROUPS) as u32;
        self.answered(slot);
        self.deliver_if_dirty(group);
        let listeners = &mut self.groups[group as usize].listeners[form as usize];
        let place = listeners.len() as u32;
        let Some(Some(conn)) = self.conns.get_mut(slot as usize) else { return };
        if conn.listed.is_none() {
            conn.listed = Some(Listed { group, form, place });
            conn.speaks = speaks;
            listeners.push(slot);
        }
    }

    fn deliver_if_dirty(&mut self, group: u32) {
        if self.groups[group as usize].is_dirty {
            self.deliver(group);
            self.dirty.retain(|dirty| *dirty != group);
        }
    }

    /// Answers 101; without a group STOMP is spoken.
    fn upgrade(&mut self, slot: u32, head: &[u8], digits: Option<&[u8]>) {
        let key = memmem::find(head, b"Sec-WebSocket-Key: ").map_or(&[][..], |at| &head[at + 19..]);
        speak::switching(&mut self.answers, key.get(..24).unwrap_or_default(), digits.is_none());
        match digits {
            Some(digits) => {
                let group = (speak::number(digits) % GROUPS) as u32;
                self.listen(slot, digits, Form::Text, Speaks::Texts { group });
            }
            None => {
                if let Some(conn) = self.conn(slot) {
                    conn.speaks = Speaks::Stomp;
                }
            }
        }
    }

    fn take_frame(&mut self, slot: u32, input: &mut [u8]) -> usize {
        let [first, second, ..] = *input else { return 0 };
        let (start, length) = match (second & 0x7f, &*input) {
            (126, [_, _, high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            (126, _) => return 0,
            (127, _) => {
                self.end(slot);
                return input.len();
            }
            (short, _) => (2, usize::from(short)),
        };
        let whole = start + 4 + length;
        if input.len() < whole {
            return 0;
        }
        let (mask, payload) = input[start..whole].split_at_mut(4);
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        match first & 0x0f {
            1 | 2 => self.take_message(slot, payload),
            8 => {
                if let Some(Listed { group, .. }) = self.conn(slot).and_then(|conn| conn.listed) {
                    self.deliver_if_dirty(group);
                }
                self.answers.extend_from_slice(&[0x88, payload.len().min(125) as u8]);
                self.answers.extend_from_slice(&payload[..payload.len().min(125)]);
                self.answered(slot);
                self.end(slot);
            }
            9 => {
                self.answers.extend_from_slice(&[0x8a, payload.len().min(125) as u8]);
                self.answers.extend_from_slice(&payload[..payload.len().min(125)]);
            }
            _ => {}
        }
        whole
    }

    /// A message is a publish, or one whole STOMP frame.
    fn take_message(&mut self, slot: u32, payload: &[u8]) {
        let Some(conn) = self.conn(slot) else { return };
        if let Speaks::Texts { group } = conn.speaks {
            self.publish(group, payload);
            return;
        }
        let behind = |prefix: &[u8]| memmem::find(payload, prefix).map(|at| &payload[at + prefix.len()..]);
        match payload {
            [b'C', ..] => self.answers.extend_from_slice(speak::CONNECTED),
            [b'S', b'U', ..] => {
                if let Some(digits) = behind(b"/sub/location/") {
                    self.answers.extend_from_slice(speak::RECEIPT);
                    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let group = &mut self.groups[speak::number(digits) % GROUPS];
                    group.digits.clear();
                    group.digits.extend_from_slice(&digits[..length]);
                    self.listen(slot, digits, Form::Message, Speaks::Stomp);
                }
            }
            [b'S', b'E', ..] => {
                let body = behind(b"\n\n").and_then(|body| body.strip_suffix(b"\0"));
                if let Some((digits, body)) = behind(b"/pub/share/").zip(body) {
                    self.publish((speak::number(digits) % GROUPS) as u32, body);
                }
            }
            _ => {}
        }
    }
}
