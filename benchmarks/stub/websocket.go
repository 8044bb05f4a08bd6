package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
)

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

const (
	opText, opBinary, opClose, opPing = 1, 2, 8, 9
	pong, textFrame                   = 0x8A, 0x81
)

// webSocket speaks the trade messages of the sandbox's gateways; whoever signs in is let in.
func webSocket(s *server, c *conn, data []byte) int {
	used := 0
	if !c.upgraded {
		used = upgrade(c, data)
	}
	for c.upgraded {
		opcode, payload, size := unframe(data[used:])
		if size == 0 {
			break
		}
		used += size
		switch opcode {
		case opText, opBinary:
			answerMessage(s, c, payload)
		case opPing:
			c.out = append(append(c.out, pong, byte(len(payload))), payload...)
		case opClose:
			return -1
		}
	}
	return used
}

// upgrade answers the opening handshake once it is there; returns its length.
func upgrade(c *conn, data []byte) int {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return 0
	}
	_, key := header(data[:end+2], "sec-websocket-key")
	digest := sha1.Sum(append(append([]byte{}, key...), acceptGUID...))
	c.out = append(c.out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"...)
	c.out = append(c.out, "Sec-WebSocket-Accept: "...)
	c.out = append(c.out, base64.StdEncoding.EncodeToString(digest[:])...)
	c.out = append(c.out, "\r\n\r\n"...)
	c.upgraded = true
	return end + 4
}

// unframe gives opcode and unmasked payload of the frame that begins here, and its length; 0 where it is not complete.
func unframe(data []byte) (byte, []byte, int) {
	if len(data) < 6 {
		return 0, nil, 0
	}
	length, at := int(data[1]&127), 2
	switch length {
	case 126:
		length, at = int(binary.BigEndian.Uint16(data[2:])), 4
	case 127:
		if len(data) < 14 {
			return 0, nil, 0
		}
		length, at = int(binary.BigEndian.Uint64(data[2:])), 10
	}
	if len(data) < at+4+length {
		return 0, nil, 0
	}
	payload := data[at+4 : at+4+length]
	unmask(payload, binary.LittleEndian.Uint32(data[at:]))
	return data[0] & 15, payload, at + 4 + length
}

func unmask(payload []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(payload) >= 8 {
		binary.LittleEndian.PutUint64(payload, binary.LittleEndian.Uint64(payload)^wide)
		payload = payload[8:]
	}
	for i := range payload {
		payload[i] ^= byte(key >> (8 * i))
	}
}

func answerMessage(s *server, c *conn, message []byte) {
	request, op := text(message, `"reqId"`), text(message, `"op"`)
	out := &c.out
	order := bytes.HasPrefix(op, []byte("order."))
	if order {
		out = s.orders(c)
	}
	begin := len(*out)
	answer := append(*out, "\x00\x00\x00\x00{\"reqId\":\""...)
	answer = append(answer, request...)
	switch {
	case string(op) == "order.status":
		answer = append(answer, `","retCode":0,"retMsg":"OK","op":"order.status","data":`...)
		answer = append(appendFound(answer, s.seq, text(message, `"orderLinkId"`)), '}')
	case order:
		answer = append(answer, `","retCode":0,"retMsg":"OK","op":"`...)
		answer = append(answer, op...)
		answer = append(answer, `","data":`...)
		answer = append(appendData(answer, s.count(), text(message, `"orderLinkId"`), string(op) == "order.cancel"), '}')
	case string(op) == "ping":
		answer = append(answer, `","retCode":0,"retMsg":"pong","op":"pong"}`...)
	default:
		answer = append(answer, `","retCode":0,"retMsg":"OK","op":"auth","connId":""}`...)
	}
	*out = frame(answer, begin)
}

// frame turns answer[begin:], which starts with four spare bytes, into a text frame.
func frame(answer []byte, begin int) []byte {
	length := len(answer) - begin - 4
	answer[begin] = textFrame
	if length < 126 {
		answer[begin+1] = byte(length)
		return answer[:begin+2+copy(answer[begin+2:], answer[begin+4:])]
	}
	answer[begin+1] = 126
	binary.BigEndian.PutUint16(answer[begin+2:], uint16(length))
	return answer
}
