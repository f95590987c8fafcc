//! Follows WebSocket frames from server to client, to know when a close frame can be put between two.
//! It reads lengths only and keeps no payload.

/// Where in the stream of frames the last written byte lies.
#[derive(Debug, Default)]
pub(crate) struct FrameTracker {
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not a WebSocket, or its peer has already closed it: nothing may be put in.
    #[default]
    Opaque,
    /// Before the header of the 101 response.
    Before,
    /// In it; so many bytes of CR LF CR LF seen.
    Response(u8),
    /// In a frame header: its first bytes.
    Header { have: u8, bytes: [u8; 10] },
    /// In a payload of so many more bytes; whether it is the close frame's.
    Payload { left: u64, close: bool },
}

const FRAME_START: State = State::Header { have: 0, bytes: [0; 10] };

impl FrameTracker {
    /// Starts before the header of the 101 response.
    pub(crate) fn new(websocket: bool) -> Self {
        Self { state: if websocket { State::Before } else { State::Opaque } }
    }

    /// Whether the next byte begins a frame.
    pub(crate) fn between_frames(&self) -> bool {
        self.state == FRAME_START
    }

    /// Whether nothing was written since the upgrade: its response has not begun.
    pub(crate) fn untouched(&self) -> bool {
        self.state == State::Before
    }

    /// Whether nothing may be put in at any time.
    pub(crate) fn opaque(&self) -> bool {
        self.state == State::Opaque
    }

    /// Takes bytes that were written to the client.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            match self.state {
                State::Opaque => return,
                State::Before => self.state = State::Response(0),
                State::Response(seen) => {
                    bytes = rest;
                    let seen = match (seen, first) {
                        (0 | 2, b'\r') | (1 | 3, b'\n') => seen + 1,
                        (_, b'\r') => 1,
                        _ => 0,
                    };
                    self.state = if seen == 4 { FRAME_START } else { State::Response(seen) };
                }
                State::Header { have, bytes: mut header } => {
                    bytes = rest;
                    header[usize::from(have)] = first;
                    self.state = after_header(have + 1, header);
                }
                State::Payload { left, close } => {
                    let take = left.min(bytes.len() as u64);
                    bytes = bytes.get(usize::try_from(take).unwrap_or(usize::MAX)..).unwrap_or_default();
                    self.state = payload(left - take, close);
                }
            }
        }
    }
}

fn after_header(have: u8, bytes: [u8; 10]) -> State {
    // Frames towards a client carry no mask, so there are no mask bytes to skip.
    let needed = match bytes[1] & 0x7f {
        _ if have < 2 => 2,
        126 => 4,
        127 => 10,
        _ => 2,
    };
    if have < needed {
        return State::Header { have, bytes };
    }
    let left = match needed {
        4 => u64::from(u16::from_be_bytes([bytes[2], bytes[3]])),
        10 => bytes[2..].iter().fold(0, |sum, b| sum << 8 | u64::from(*b)),
        _ => u64::from(bytes[1] & 0x7f),
    };
    payload(left, bytes[0] & 0x0f == 8)
}

fn payload(left: u64, close: bool) -> State {
    match (left, close) {
        (0, true) => State::Opaque,
        (0, false) => FRAME_START,
        _ => State::Payload { left, close },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(length as u8),
            126..65536 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + length, b'\r');
        frame
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_are_split() {
        for length in [0, 1, 125, 126, 300, 65535, 70_000] {
            let mut stream = RESPONSE.to_vec();
            let mut ends = vec![stream.len()];
            for _ in 0..3 {
                stream.extend(frame(2, length));
                ends.push(stream.len());
            }
            for step in [1, 3, 7, 1000, stream.len()] {
                let mut tracker = FrameTracker::new(true);
                for (i, part) in stream.chunks(step).enumerate() {
                    tracker.feed(part);
                    let at = (i * step + part.len()).min(stream.len());
                    assert_eq!(tracker.between_frames(), ends.contains(&at), "length {length}, byte {at}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_put_behind_a_close_frame_or_into_another_protocol() {
        let mut tracker = FrameTracker::new(true);
        tracker.feed(RESPONSE);
        tracker.feed(&frame(8, 2));
        assert!(!tracker.between_frames());
        let mut other = FrameTracker::new(false);
        other.feed(RESPONSE);
        assert!(!other.between_frames());
    }
}
