package h2

import "encoding/binary"

type frameType uint8

const (
	frameData frameType = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePushPromise
	framePing
	frameGoAway
	frameWindowUpdate
	frameContinuation
)

const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	headerLen    = 9
	maxFrameSize = 16384 // the largest payload we take, and the most we put into a frame
	preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

type setting uint16

const (
	settingTableSize setting = 1 + iota
	settingPush
	settingStreams
	settingWindow
	settingFrameSize
	settingHeadBytes
	settingConnect setting = 8
)

// frameHeader is what stands before a frame's payload.
type frameHeader struct {
	length int
	kind   frameType
	flags  uint8
	stream uint32
}

func parseHeader(p []byte) frameHeader {
	return frameHeader{length: int(p[0])<<16 | int(p[1])<<8 | int(p[2]), kind: frameType(p[3]), flags: p[4],
		stream: binary.BigEndian.Uint32(p[5:]) &^ (1 << 31)}
}

func (h frameHeader) has(flag uint8) bool { return h.flags&flag != 0 }

func appendFrame(dst []byte, length int, kind frameType, flags uint8, stream uint32) []byte {
	dst = append(dst, byte(length>>16), byte(length>>8), byte(length), byte(kind), flags)
	return binary.BigEndian.AppendUint32(dst, stream)
}

func appendReset(dst []byte, stream uint32, code Code) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(dst, 4, frameReset, 0, stream), uint32(code))
}

func appendWindowUpdate(dst []byte, stream, n uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(dst, 4, frameWindowUpdate, 0, stream), n)
}

func appendPing(dst []byte, flags uint8, data []byte) []byte {
	return append(appendFrame(dst, 8, framePing, flags, 0), data...)
}

func appendGoAway(dst []byte, last uint32, code Code, reason string) []byte {
	dst = appendFrame(dst, 8+len(reason), frameGoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, last)
	return append(binary.BigEndian.AppendUint32(dst, uint32(code)), reason...)
}

type settingValue struct {
	id    setting
	value uint32
}

func appendSettings(dst []byte, values ...settingValue) []byte {
	dst = appendFrame(dst, 6*len(values), frameSettings, 0, 0)
	for _, v := range values {
		dst = binary.BigEndian.AppendUint16(dst, uint16(v.id))
		dst = binary.BigEndian.AppendUint32(dst, v.value)
	}
	return dst
}
