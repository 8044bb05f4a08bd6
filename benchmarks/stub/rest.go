package main

import (
	"bytes"
	"strconv"
)

const spareDigits = 4 // room for the length of a body

var head = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nServer: stub\r\nContent-Length:")

// rest speaks HTTP/1.1 with keep-alive: Bybit V5 orders, `/stats`, and 200 for everything else. Signatures are not read.
func rest(s *server, c *conn, data []byte) int {
	used := 0
	for {
		message := data[used:]
		end := bytes.Index(message, []byte("\r\n\r\n"))
		if end < 0 {
			return used
		}
		length := 0
		if found, value := header(message[:end+2], "content-length"); found {
			parsed, err := strconv.Atoi(string(value))
			if err != nil {
				return -1
			}
			length = parsed
		}
		if len(message) < end+4+length {
			return used
		}
		used += end + 4 + length
		answerRequest(s, c, message[:end], message[end+4:end+4+length])
	}
}

// header finds a header by its name in lower case; `lines` ends with CRLF.
func header(lines []byte, name string) (bool, []byte) {
	for {
		end := bytes.IndexByte(lines, '\n')
		if end < 0 {
			return false, nil
		}
		line := lines[:end]
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return true, bytes.TrimSpace(line[len(name)+1:])
		}
		lines = lines[end+1:]
	}
}

func answerRequest(s *server, c *conn, request, body []byte) {
	line, _, _ := bytes.Cut(request, []byte("\r\n"))
	_, target, _ := bytes.Cut(line, []byte(" "))
	path, _, _ := bytes.Cut(target, []byte(" "))
	path, query, _ := bytes.Cut(path, []byte("?"))
	if string(path) == "/stats" {
		var begin int
		c.out, begin = open(c.out)
		c.out = closeBody(s.appendStats(c.out), begin)
		return
	}
	out := s.orders(c)
	answer, begin := open(*out)
	if act, isOrder := bytes.CutPrefix(path, []byte("/v5/order/")); !isOrder {
		s.count()
		answer = append(answer, `{"ok":true}`...)
	} else {
		answer = append(answer, `{"retCode":0,"retMsg":"OK","result":`...)
		if string(act) == "realtime" {
			_, ident, _ := bytes.Cut(query, []byte("="))
			answer = appendFound(answer, s.seq, ident)
		} else {
			answer = appendData(answer, s.count(), text(body, `"orderLinkId"`), string(act) == "cancel")
		}
		answer = append(answer, `,"time":`...)
		answer = append(append(answer, s.epochMs...), '}')
	}
	*out = closeBody(answer, begin)
}

// open begins a response; returns where its body begins.
func open(out []byte) ([]byte, int) {
	out = append(out, head...)
	for range spareDigits {
		out = append(out, ' ')
	}
	out = append(out, "\r\n\r\n"...)
	return out, len(out)
}

// closeBody writes the length of the body that began at `begin` into the head before it, right-aligned.
func closeBody(out []byte, begin int) []byte {
	length := len(out) - begin
	for at := begin - 5; length > 0; at-- {
		out[at] = byte('0' + length%10)
		length /= 10
	}
	return out
}

func (s *server) appendStats(out []byte) []byte {
	out = append(out, `{"answered":`...)
	out = appendUint(out, s.answered)
	out = append(out, `,"connections":`...)
	out = appendUint(out, uint64(len(s.conns)))
	out = append(out, `,"t_ns":`...)
	out = appendUint(out, uint64(s.now()))
	return append(out, '}')
}
