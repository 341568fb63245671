package http

import (
	"fmt"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// localReplies is local_reply_config: what becomes of answers this proxy makes itself.
type localReplies struct {
	mappers []replyMapper
	form    replyForm
}

type replyMapper struct {
	*config.LocalReplyMapper
	takes   func(*stream.Exchange) bool
	form    replyForm
	headers *route.Ops
}

// replyForm is the form of an answer's body.
type replyForm struct {
	format      *format.Format // nil: the text as it is
	contentType string
}

func (e *Engine) newLocalReplies(cfg *config.LocalReplies) (*localReplies, error) {
	if cfg == nil || e.opts.Logs == nil {
		return nil, nil //nolint:nilnil // nothing is changed
	}
	form, err := newReplyForm(cfg.Body)
	l := &localReplies{form: form}
	for i := range cfg.Mappers {
		m := &cfg.Mappers[i]
		mapper := replyMapper{LocalReplyMapper: m, takes: e.opts.Logs.Takes(m.Filter), headers: route.CompileOps(&m.Headers)}
		if err == nil {
			mapper.form, err = newReplyForm(m.Format)
		}
		l.mappers = append(l.mappers, mapper)
	}
	if err != nil {
		return nil, fmt.Errorf("local_reply_config: %w", err)
	}
	return l, nil
}

func newReplyForm(cfg *config.Format) (f replyForm, err error) {
	if cfg == nil {
		return f, nil
	}
	f.contentType = "text/plain"
	if cfg.JSON != nil {
		f.contentType = "application/json"
	}
	f.format, err = format.New(cfg)
	return f, err
}

// apply changes status, text and fields of x's answer by the first mapper that takes it, and gives the text its form.
func (l *localReplies) apply(x *stream.Exchange, text string) (body, contentType string) {
	form := l.form
	x.LocalBody = text
	for i := range l.mappers {
		m := &l.mappers[i]
		if !m.takes(x) {
			continue
		}
		if m.Status != 0 {
			x.Response.Status = int(m.Status)
		}
		if m.Body != nil {
			x.LocalBody = *m.Body
		}
		m.headers.ApplyResponse(x)
		if m.form.format != nil {
			form = m.form
		}
		break
	}
	if form.format == nil {
		return x.LocalBody, "text/plain"
	}
	return string(form.format.Append(nil, x)), form.contentType
}
