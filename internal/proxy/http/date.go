package http

import (
	"net/http"
	"sync/atomic"
	"time"
)

// date is the text of the Date field, made once a second.
type date struct {
	now  func() time.Time
	made atomic.Pointer[dated]
}

type dated struct {
	second int64
	text   string
}

func (d *date) text() string {
	now := d.now()
	have := d.made.Load()
	if have == nil || have.second != now.Unix() {
		have = &dated{now.Unix(), now.UTC().Format(http.TimeFormat)}
		d.made.Store(have)
	}
	return have.text
}
