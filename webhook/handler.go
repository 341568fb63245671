package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/inject"
)

type handler struct {
	Options
	budget  budget
	memory  *sync.Pool // of *memory
	buffers sync.Pool  // of *[]byte, for patches and answers
}

// namespaceWait is how long one request waits for a namespace that isn't in the cache yet; then it goes on with the
// namespace's name only.
const namespaceWait = 500 * time.Millisecond

// failure is an HTTP error: the API server's failurePolicy applies to it, unlike to a refusal.
type failure struct {
	code    int
	reason  inject.Reason
	message string
}

// ServeHTTP answers one AdmissionReview. Whatever happens, the API server gets an answer and a panic ends here.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	o := outcome{start: start, body: newBody(h.budget, h.memory)}
	defer o.body.release(h.memory)
	defer h.release(&o)
	defer func() {
		if p := recover(); p != nil {
			h.Log.Error(fmt.Errorf("panic: %v", p), "admission panicked", "uid", o.request.UID, "stack", string(debug.Stack()))
			o.fail(&failure{http.StatusInternalServerError, inject.ReasonInternal, "the injector failed on this pod; its log has the cause"})
			h.send(w, &o)
		}
		h.tell(&o)
	}()
	if f := h.serve(r, &o); f != nil {
		o.fail(f)
	}
	h.send(w, &o)
}

// serve reads the request, has it decided, and puts the answer into o.
func (h *handler) serve(r *http.Request, o *outcome) *failure {
	ctx := limit(r.Context(), h.deadline(r))
	defer ctx.end()
	if f := h.readReview(ctx, r, o); f != nil {
		return f
	}
	if answer := o.review.unfit(); answer != nil {
		o.answer = answer
		o.refused(inject.ReasonBodyInvalid)
		return nil
	}
	set := h.Set()
	if set == nil {
		return &failure{http.StatusServiceUnavailable, inject.ReasonInjectorUnknown, "no injector is compiled yet; see the status of the Injectors"}
	}
	h.fill(ctx, o)
	o.buffer = h.buffer()
	o.request.Room = *o.buffer
	o.result = set.Inject(ctx, o.request)
	o.decided = true
	return o.conclude()
}

// deadline leaves a fifth of the API server's own for the way back.
func (h *handler) deadline(r *http.Request) time.Duration {
	timeout := h.Timeout
	text, alone := strings.CutPrefix(r.URL.RawQuery, "timeout=") // as API servers have it
	if !alone || strings.ContainsAny(text, "&%+;") {
		text = r.URL.Query().Get("timeout")
	}
	if asked, err := time.ParseDuration(text); err == nil && asked > 0 && asked < time.Minute {
		timeout = asked
	}
	return timeout * 4 / 5
}

// readReview checks the HTTP request and reads the AdmissionReview in it.
func (h *handler) readReview(ctx context.Context, r *http.Request, o *outcome) *failure {
	if err := parsePath(r.URL.Path, &o.request); err != nil {
		return &failure{http.StatusNotFound, inject.ReasonBodyInvalid, err.Error()}
	}
	if r.Method != http.MethodPost {
		return &failure{http.StatusMethodNotAllowed, inject.ReasonBodyInvalid, "want POST"}
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		return &failure{http.StatusUnsupportedMediaType, inject.ReasonBodyInvalid, "want Content-Type application/json"}
	}
	if f := readBody(ctx, r, &o.body); f != nil {
		return f
	}
	review, err := decodeReview(&o.body.memory.room, o.body.view())
	if err != nil {
		return &failure{http.StatusBadRequest, inject.ReasonBodyInvalid, err.Error()}
	}
	o.review = review
	return nil
}

func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "application/json"
}

// fill completes the request with what the review and the cluster say. What others are asked with is theirs to keep.
func (h *handler) fill(ctx context.Context, o *outcome) {
	o.request.UID, o.request.DryRun = o.review.uid, o.review.dryRun
	if o.review.text != "" {
		o.request.Pod = []byte(o.review.text)
	} else {
		o.request.Object = o.review.object
	}
	o.request.Namespace = h.namespace(ctx, strings.Clone(o.review.namespace))
	if h.Native != nil { // pods that choose their node, such as a DaemonSet's in some clusters, name it
		o.request.Native = h.Native(strings.Clone(o.review.object.Get("spec", "nodeName").Text()))
	}
}

func (h *handler) namespace(ctx context.Context, name string) inject.Namespace {
	if h.Namespaces == nil {
		return inject.Namespace{Name: name}
	}
	wait := limit(ctx, namespaceWait)
	defer wait.end()
	ns, err := h.Namespaces.Namespace(wait, name)
	if err != nil {
		h.Log.V(1).Info("namespace not found, going on with its name", "ns", name, "error", err.Error())
		return inject.Namespace{Name: name}
	}
	ns.Name = name
	return ns
}

// conclude turns the result into an answer, or into a failure that failurePolicy applies to.
func (o *outcome) conclude() *failure {
	d := &o.result.Decision
	switch d.Outcome {
	case inject.OutcomeInject:
		o.answer = &answer{allowed: true, patch: o.result.Patch}
	case inject.OutcomeSkip:
		o.answer = &answer{allowed: true}
	case inject.OutcomeDeny:
		o.answer = refusal(http.StatusUnprocessableEntity, "Invalid", d.Message(), d.Faults)
	default:
		if d.Reason() == inject.ReasonBodyInvalid {
			o.answer = refusal(http.StatusBadRequest, "BadRequest", d.Message(), nil)
			return nil
		}
		return &failure{statusOf(d.Reason()), d.Reason(), d.Message()}
	}
	o.note()
	return nil
}

func statusOf(reason inject.Reason) int {
	switch reason {
	case inject.ReasonInjectorUnknown:
		return http.StatusNotFound
	case inject.ReasonDeadline:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// send writes the answer, or the failure as text: the API server puts that into its own message.
func (h *handler) send(w http.ResponseWriter, o *outcome) {
	if o.sent {
		return
	}
	o.sent = true
	var err error
	if o.failure != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(o.failure.code)
		_, err = io.WriteString(w, o.failure.message+"\n")
	} else {
		err = h.sendReview(w, o)
	}
	if err != nil && !errors.Is(err, http.ErrHandlerTimeout) {
		h.Log.V(1).Info("answer not sent", "uid", o.request.UID, "error", err.Error())
	}
}

var typeJSON = []string{"application/json"}

func (h *handler) sendReview(w http.ResponseWriter, o *outcome) error {
	buffer := h.buffer()
	*buffer = o.answer.encode(*buffer, &o.review)
	header := w.Header()
	header["Content-Type"] = typeJSON
	header["Content-Length"] = []string{strconv.Itoa(len(*buffer))} // otherwise it goes out in chunks
	_, err := w.Write(*buffer)
	h.keep(buffer)
	return err
}

// maxBuffer is the largest buffer kept for the next request; a typical answer takes 10 KiB.
const maxBuffer = 64 << 10

// buffer is empty.
func (h *handler) buffer() *[]byte {
	if buffer, _ := h.buffers.Get().(*[]byte); buffer != nil {
		return buffer
	}
	return new([]byte)
}

func (h *handler) keep(buffer *[]byte) {
	if *buffer = (*buffer)[:0]; cap(*buffer) <= maxBuffer {
		h.buffers.Put(buffer)
	}
}

// release keeps what the patch was written to, now that it is sent.
func (h *handler) release(o *outcome) {
	if o.buffer == nil {
		return
	}
	if cap(o.result.Patch) > cap(*o.buffer) {
		*o.buffer = o.result.Patch
	}
	h.keep(o.buffer)
}
