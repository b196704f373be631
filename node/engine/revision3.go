package engine

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// This file is what differs in Engine.IO's revision 3, which clients of Socket.IO 2 speak: the client pings, a payload has
// lengths instead of separators, and a type stands before binary data. JSONP is refused: its answers are scripts.

const (
	revision4, revision3 = "4", "3"
	// oldMessage is the type before binary data.
	oldMessage = packetMessage - '0'
	// Kinds of packets in a binary payload, and what ends their length.
	oldText, oldBinary, oldLengthEnd = 0, 1, 255
	// maxOldLength is how many digits a length may have.
	maxOldLength = 8
)

// speaks reports whether the server takes clients of this revision.
func (s *Server) speaks(revision string) bool {
	return revision == revision4 || revision == revision3 && s.cfg.AllowEIO3
}

// revision is what the session's requests have to say.
func (s *Session) revision() string {
	if s.old {
		return revision3
	}
	return revision4
}

// wantsScripts reports whether a handshake is one of JSONP.
func wantsScripts(query url.Values) bool { return query.Get("EIO") == revision3 && query.Has("j") }

// meet notes of which revision the client is, and whether it has to be spared binary data.
func (s *Session) meet(r *http.Request) {
	if !s.server.cfg.AllowEIO3 {
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	s.old = err == nil && query.Get("EIO") == revision3
	s.base64 = s.old && query.Get("b64") != ""
}

// oldFrames puts the type before the data of the binary frames among frames, which are not changed, and makes text of those
// for a client that takes nothing else.
func (s *Session) oldFrames(frames [][]byte) [][]byte {
	if !slices.ContainsFunc(frames, isBinary) {
		return frames
	}
	old := make([][]byte, len(frames))
	for i, frame := range frames {
		switch data := payloadOf(frame); {
		case isBinary(frame) && s.base64:
			frame = newFrame(binaryMark, base64.StdEncoding.AppendEncode([]byte{packetMessage}, data))
		case isBinary(frame):
			head := appendHeader(make([]byte, 0, len(data)+11), frameBinary, 1+len(data))
			frame = append(append(head, oldMessage), data...)
		}
		old[i] = frame
	}
	return old
}

func isBinary(frame []byte) bool { return len(frame) > 0 && frame[0] == frameBinary }

// lone is the payload of a packet without data.
func (s *Session) lone(kind byte) []byte {
	if s.old {
		return []byte{'1', ':', kind}
	}
	return []byte{kind}
}

// takeOldPolled takes what the open GET is answered with. For holders of mu, with something in the queue.
func (s *Session) takeOldPolled() []byte {
	var frames [][]byte
	for size := 0; !s.queue.empty() && size < maxPolled; s.queue.pop() {
		frame := s.queue.front()
		frames = append(frames, frame)
		size += len(frame)
	}
	if slices.ContainsFunc(frames, isBinary) {
		return oldBinaryPayload(frames)
	}
	var payload []byte
	for _, frame := range frames {
		packet := payloadOf(frame)
		payload = append(strconv.AppendInt(payload, int64(utf16Length(packet)), 10), ':')
		payload = append(payload, packet...)
	}
	return payload
}

func oldBinaryPayload(frames [][]byte) (payload []byte) {
	for _, frame := range frames {
		kind := byte(oldText)
		if isBinary(frame) {
			kind = oldBinary
		}
		packet := payloadOf(frame)
		payload = append(payload, kind)
		for _, digit := range strconv.Itoa(len(packet)) {
			payload = append(payload, byte(digit-'0'))
		}
		payload = append(append(payload, oldLengthEnd), packet...)
	}
	return payload
}

// isOldBinary reports whether a payload is a binary one: others begin with a digit's character.
func isOldBinary(payload []byte) bool { return len(payload) > 0 && payload[0] <= oldBinary }

// utf16Length is how long JavaScript finds a text.
func utf16Length(text []byte) (n int) {
	for _, r := range string(text) {
		n += utf16Units(r)
	}
	return n
}

func utf16Units(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}

// receiveOldPayload handles the packets of a payload; false if one is malformed.
func (s *Session) receiveOldPayload(payload []byte) bool {
	if len(payload) == 0 {
		return false
	}
	cut := cutOldText
	if isOldBinary(payload) {
		cut = cutOldBinary
	}
	for n := 0; len(payload) > 0; n++ {
		packet, kind, rest, ok := cut(payload)
		if !ok || len(packet) == 0 || n == maxPackets {
			return false
		}
		payload = rest
		switch {
		case kind == oldBinary && packet[0] != oldMessage:
			return false
		case kind == oldBinary:
			s.emitBinary(packet[1:])
			s.await()
		case !utf8.Valid(packet):
			return false
		case !s.receive(packet[0], packet[1:]):
			return s.state.Load() == stateClosed
		}
	}
	return true
}

// cutOldText cuts the first packet from a payload of text.
func cutOldText(payload []byte) (packet []byte, kind byte, rest []byte, ok bool) {
	digits, rest, found := bytes.Cut(payload, []byte{':'})
	if !found || len(digits) > maxOldLength {
		return nil, 0, nil, false
	}
	left, err := strconv.ParseUint(string(digits), 10, 31)
	if err != nil {
		return nil, 0, nil, false
	}
	at := 0
	for n := int64(left); n > 0; {
		r, size := utf8.DecodeRune(rest[at:])
		if size == 0 {
			return nil, 0, nil, false
		}
		at += size
		n -= int64(utf16Units(r))
	}
	return rest[:at], oldText, rest[at:], true
}

// cutOldBinary cuts the first packet from a binary payload.
func cutOldBinary(payload []byte) (packet []byte, kind byte, rest []byte, ok bool) {
	kind = payload[0]
	digits, rest, found := bytes.Cut(payload[1:], []byte{oldLengthEnd})
	if !found || len(digits) == 0 || len(digits) > maxOldLength || kind > oldBinary {
		return nil, 0, nil, false
	}
	n := 0
	for _, digit := range digits {
		if digit > 9 {
			return nil, 0, nil, false
		}
		n = 10*n + int(digit)
	}
	if n > len(rest) {
		return nil, 0, nil, false
	}
	return rest[:n], kind, rest[n:], true
}

// receiveOldBase64 handles a binary message that came as text; false if it is malformed.
func (s *Session) receiveOldBase64(packet []byte) bool {
	if !s.old || len(packet) == 0 || packet[0] != packetMessage {
		return false
	}
	data, err := base64.StdEncoding.AppendDecode(nil, packet[1:])
	if err == nil {
		s.emitBinary(data)
	}
	return err == nil
}

// beats reports whether a ping counts as a heartbeat: of those within that time the first does. The others say nothing of
// whether the client comes for what there is.
func (p *polling) beats(within time.Duration) bool {
	now := time.Now().UnixNano()
	counts := now-p.beat >= int64(within)
	if counts {
		p.beat = now
	}
	return counts
}

// answerPing answers a client that pings, and gives it time until the next.
func (s *Session) answerPing(data []byte) {
	s.mu.Lock()
	if s.state.Load() == stateClosed {
		s.mu.Unlock()
		return
	}
	ignored := s.ws == nil && s.poll.beats(s.server.cfg.PingInterval/2) && s.poll.ignores(&s.queue)
	s.takenSlowly = 0
	s.server.wheel.schedule(&s.alarm, s.server.cfg.PingInterval+s.server.cfg.PingTimeout)
	s.mu.Unlock()
	if ignored {
		s.end(reasonFailed, ErrSlowConsumer)
		return
	}
	s.control(newFrame(packetPong, data))
}
