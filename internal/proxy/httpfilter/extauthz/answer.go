package extauthz

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/peermetadata"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Fields of CheckResponse, envoy/service/auth/v3.
const (
	answerStatus   = 1
	answerDenied   = 2
	answerOK       = 3
	answerMetadata = 4
	answerError    = 5
	statusCode     = 1 // of google.rpc.Status and envoy.type.v3.HttpStatus

	deniedStatus  = 1
	deniedHeaders = 2
	deniedBody    = 3

	okHeaders         = 2
	okRemove          = 5
	okResponseHeaders = 6
	okSetParameters   = 7
	okDropParameters  = 8

	optionHeader = 1
	optionAppend = 2
	optionAction = 3
	headerKey    = 1
	headerValue  = 2
	headerRaw    = 3
	boolValue    = 1
)

// readVerdict reads a CheckResponse. The status decides; of the two kinds of answer the fitting one counts.
func readVerdict(message []byte) (*verdict, error) {
	var code uint64
	var ok, denied, metadata []byte
	failed := false
	err := wire.Each(message, func(field wire.Number, content []byte, _ uint64) (err error) {
		switch field {
		case answerStatus:
			code, err = number(content, statusCode, code)
		case answerDenied:
			denied = content
		case answerOK:
			ok = content
		case answerMetadata:
			metadata = content
		case answerError:
			failed = true
		}
		return err
	})
	if err != nil || failed {
		return nil, errUpstream
	}
	v := &verdict{allowed: int32(code) == 0}
	if v.allowed {
		err = v.readOK(ok)
	} else {
		err = v.readDenied(denied)
	}
	if err == nil && metadata != nil {
		v.metadata, err = peermetadata.DecodeStruct(metadata)
	}
	return v, err
}

func (v *verdict) readOK(b []byte) error {
	return wire.Each(b, func(field wire.Number, content []byte, _ uint64) error {
		switch field {
		case okHeaders:
			o, err := readOption(content)
			if o.append {
				v.more = append(v.more, o.field)
			} else {
				v.set = append(v.set, o.field)
			}
			return err
		case okRemove:
			v.remove = append(v.remove, strings.ToLower(string(content)))
		case okResponseHeaders:
			o, err := readOption(content)
			v.response = append(v.response, mutation{o.field, o.how()})
			return err
		case okSetParameters:
			key, value, err := pair(content)
			v.parameters = append(v.parameters, parameter{name: key, value: value})
			return err
		case okDropParameters:
			v.parameters = append(v.parameters, parameter{name: string(content), drop: true})
		}
		return nil
	})
}

func (v *verdict) readDenied(b []byte) error {
	return wire.Each(b, func(field wire.Number, content []byte, _ uint64) error {
		switch field {
		case deniedStatus:
			code, err := number(content, statusCode, 0)
			if err == nil && code >= 200 && code <= 599 {
				v.status = int(code)
			}
			return err
		case deniedHeaders:
			o, err := readOption(content)
			v.fields = append(v.fields, o.field)
			return err
		case deniedBody:
			v.body = string(content)
		}
		return nil
	})
}

// option is a HeaderValueOption. Of requests only append counts: a field replaces others unless it is said.
type option struct {
	field        stream.Field
	said, append bool // append is set; to what
	action       action
}

// how is what becomes of a field of an answer: the deprecated append counts, if it is set, else append_action.
func (o *option) how() action {
	switch {
	case !o.said:
		return o.action
	case o.append:
		return addField
	default:
		return setField
	}
}

func readOption(b []byte) (o option, err error) {
	err = wire.Each(b, func(field wire.Number, content []byte, n uint64) (err error) {
		switch field {
		case optionHeader:
			o.field, err = header(content)
		case optionAppend:
			var yes uint64
			yes, err = number(content, boolValue, 0)
			o.said, o.append = true, yes != 0
		case optionAction:
			o.action = action(n)
		}
		return err
	})
	return o, err
}

// header reads a HeaderValue. A value that no header can have is an error: the service meant something else.
func header(b []byte) (f stream.Field, err error) {
	key, value, err := pair(b)
	if strings.ContainsAny(key+value, "\r\n\x00") {
		return f, errUpstream
	}
	return stream.Field{Name: strings.ToLower(key), Value: value}, err
}

// pair reads a HeaderValue, or a QueryParameter, which has the same fields.
func pair(b []byte) (key, value string, err error) {
	err = wire.Each(b, func(field wire.Number, content []byte, _ uint64) error {
		switch field {
		case headerKey:
			key = string(content)
		case headerValue, headerRaw:
			value = string(content)
		}
		return nil
	})
	return key, value, err
}

// number reads one integer of a message; one that isn't there is otherwise.
func number(b []byte, of wire.Number, otherwise uint64) (n uint64, err error) {
	n = otherwise
	err = wire.Each(b, func(field wire.Number, content []byte, value uint64) error {
		if field == of && content == nil {
			n = value
		}
		return nil
	})
	return n, err
}
