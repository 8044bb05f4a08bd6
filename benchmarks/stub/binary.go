package main

import "encoding/binary"

// Types of the sandbox's binary messages, and sizes in bytes.
const (
	msgLogin, msgSymbols, msgPing        = 1, 2, 3
	msgPlace, msgCancel, msgRequest      = 16, 17, 20
	msgOrderStatus                       = 19
	msgLoggedIn, msgPong                 = 129, 130
	msgAnswer, msgStatus                 = 144, 145
	headSize, answerSize                 = 4, 32
	statusNew, statusCancelled      byte = 1, 4
	version                              = 1
)

// binaryOrders speaks the sandbox's binary protocol; whoever logs in is let in.
func binaryOrders(s *server, c *conn, data []byte) int {
	used := 0
	for len(data)-used >= headSize {
		message := data[used:]
		size, kind := int(binary.LittleEndian.Uint16(message)), message[2]
		if size < headSize || message[3] != version || kind > msgRequest {
			return -1
		}
		if len(message) < size {
			break
		}
		used += size
		switch {
		case kind >= msgPlace:
			answerOrder(s, c, message)
		case kind == msgLogin:
			appendAnswer(&c.out, msgLoggedIn, 0, 0, 0)
		case kind == msgPing:
			appendAnswer(&c.out, msgPong, 0, 0, 0)
		}
	}
	return used
}

func answerOrder(s *server, c *conn, message []byte) {
	number := binary.LittleEndian.Uint64(message[8:])
	switch kind := message[2]; {
	case kind >= msgOrderStatus:
		appendAnswer(s.orders(c), msgStatus, number, s.seq, statusNew)
	case kind == msgCancel:
		appendAnswer(s.orders(c), msgAnswer, number, s.count(), statusCancelled)
	default:
		appendAnswer(s.orders(c), msgAnswer, number, s.count(), statusNew)
	}
}

// appendAnswer appends the 32 bytes of an answer with code 0; who asks finds what he asks for.
func appendAnswer(out *[]byte, kind byte, number, seq uint64, status byte) {
	var answer [answerSize]byte
	binary.LittleEndian.PutUint16(answer[0:], answerSize)
	answer[2], answer[3] = kind, version
	binary.LittleEndian.PutUint64(answer[8:], number)
	binary.LittleEndian.PutUint64(answer[16:], seq)
	binary.LittleEndian.PutUint32(answer[24:], 1)
	if kind == msgStatus {
		answer[28] = 1
	}
	answer[29] = status
	*out = append(*out, answer[:]...)
}
