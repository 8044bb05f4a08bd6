package main

import (
	"bytes"
	"strconv"
)

func appendUint(out []byte, value uint64) []byte { return strconv.AppendUint(out, value, 10) }

// text is the value of a key of a flat JSON object, where it is text without escapes; nil where there is none.
// `key` comes with its quotes.
func text(message []byte, key string) []byte {
	at := bytes.Index(message, []byte(key))
	if at < 0 {
		return nil
	}
	value := message[at+len(key):]
	for len(value) > 0 && (value[0] == ':' || value[0] == ' ') {
		value = value[1:]
	}
	if len(value) == 0 || value[0] != '"' {
		return nil
	}
	end := bytes.IndexByte(value[1:], '"')
	if end < 0 {
		return nil
	}
	return value[1 : end+1]
}

// appendData appends the data of an executed order, keys in the order of the sandbox.
func appendData(out []byte, seq uint64, link []byte, cancelled bool) []byte {
	out = append(out, `{"orderId":"O`...)
	out = appendUint(out, seq)
	out = append(out, `","orderLinkId":"`...)
	out = append(out, link...)
	out = append(out, `","seq":`...)
	out = appendUint(out, seq)
	if cancelled {
		return append(out, `,"epoch":1,"status":"Cancelled","filled":"0"}`...)
	}
	return append(out, `,"epoch":1,"status":"New","filled":"0"}`...)
}

// appendFound appends the data of an order that somebody asks for.
func appendFound(out []byte, seq uint64, link []byte) []byte {
	out = append(out, `{"found":true,"seq":`...)
	out = appendUint(out, seq)
	out = append(out, `,"epoch":1,"code":0,"status":"New","orderId":"O`...)
	out = appendUint(out, seq)
	out = append(out, `","orderLinkId":"`...)
	out = append(out, link...)
	return append(out, `","symbol":"BTCUSDT","filled":"0"}`...)
}
