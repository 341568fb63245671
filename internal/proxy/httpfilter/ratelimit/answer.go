package ratelimit

import (
	"errors"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/peermetadata"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Fields of RateLimitResponse.
const (
	answerCode     = 1
	answerStatuses = 2
	answerResponse = 3
	answerRequest  = 4
	answerBody     = 5
	answerMetadata = 6

	statusCode      = 1
	statusLimit     = 2
	statusRemaining = 3
	statusReset     = 4

	limitRequests   = 1
	limitUnit       = 2
	limitName       = 3
	limitMultiplier = 4

	durationSeconds = 1
	headerKey       = 1
	headerValue     = 2
	headerRaw       = 3
)

// Codes of an answer.
const (
	codeOK   = 1
	codeOver = 2
)

// mostParts is how many statuses or header fields an answer may have.
const mostParts = 128

// answer is what the service says.
type answer struct {
	over              bool
	statuses          []status
	response, request []stream.Field
	body              string
	metadata          map[string]any
}

// status is what it says of one descriptor.
type status struct {
	over                 bool
	limited              bool // there is a limit at all
	requests, multiplier uint64
	unit                 uint64
	name                 string
	remaining, reset     uint64 // reset in seconds
}

// errAnswer is the error of an answer that isn't one.
var errAnswer = errors.New("the rate limit service's answer makes no sense")

func readAnswer(message []byte) (*answer, error) {
	a, code := &answer{}, uint64(0)
	err := wire.Each(message, func(field wire.Number, content []byte, n uint64) (err error) {
		switch field {
		case answerCode:
			code = n
		case answerStatuses:
			var s status
			s, err = readStatus(content)
			a.statuses = append(a.statuses, s)
		case answerResponse:
			a.response, err = appendField(a.response, content)
		case answerRequest:
			a.request, err = appendField(a.request, content)
		case answerBody:
			a.body = string(content)
		case answerMetadata:
			a.metadata, err = peermetadata.DecodeStruct(content)
		}
		if len(a.statuses) > mostParts || len(a.response) > mostParts || len(a.request) > mostParts {
			return errAnswer
		}
		return err
	})
	if err == nil && code != codeOK && code != codeOver {
		err = errAnswer
	}
	a.over = code == codeOver
	return a, err
}

// appendField reads a HeaderValue. One that no message may have, or a service mayn't choose, is left out.
func appendField(list []stream.Field, b []byte) ([]stream.Field, error) {
	var f stream.Field
	err := wire.Each(b, func(field wire.Number, content []byte, _ uint64) error {
		switch field {
		case headerKey:
			f.Name = strings.ToLower(string(content))
		case headerValue, headerRaw:
			if len(content) > 0 {
				f.Value = string(content)
			}
		}
		return nil
	})
	if filter.Writable(f) {
		list = append(list, f)
	}
	return list, err
}

func readStatus(b []byte) (s status, err error) {
	s.multiplier = 1
	err = wire.Each(b, func(field wire.Number, content []byte, n uint64) (err error) {
		switch field {
		case statusCode:
			s.over = n == codeOver
		case statusLimit:
			s.limited = true
			err = s.readLimit(content)
		case statusRemaining:
			s.remaining = n & 0xffffffff
		case statusReset:
			s.reset, err = number(content, durationSeconds)
			s.reset = uint64(max(int64(s.reset), 0)) //nolint:gosec // a duration below zero comes as such a number
		}
		return err
	})
	return s, err
}

func (s *status) readLimit(b []byte) error {
	return wire.Each(b, func(field wire.Number, content []byte, n uint64) (err error) {
		switch field {
		case limitRequests:
			s.requests = n & 0xffffffff
		case limitUnit:
			s.unit = n
		case limitName:
			s.name = string(content)
		case limitMultiplier:
			s.multiplier, err = number(content, wrappedValue)
			s.multiplier &= 0xffffffff
		}
		return err
	})
}

// number reads one integer of a message; 0: it isn't there.
func number(b []byte, of wire.Number) (n uint64, err error) {
	err = wire.Each(b, func(field wire.Number, content []byte, value uint64) error {
		if field == of && content == nil {
			n = value
		}
		return nil
	})
	return n, err
}
