package admin

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// number is a 64-bit number, which protojson writes as a string.
type number int64

// MarshalJSON writes it.
func (n number) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, strconv.FormatInt(int64(n), 10)), nil
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(v)
}

// asStatus returns the HTTP status an error asks for.
func asStatus(err error) (int, bool) {
	var e interface{ HTTPStatus() int }
	if errors.As(err, &e) {
		return e.HTTPStatus(), true
	}
	return 0, false
}

// badRequest is an error of the caller's.
type badRequest string

func (e badRequest) Error() string   { return string(e) }
func (e badRequest) HTTPStatus() int { return 400 }
