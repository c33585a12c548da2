package gateway

import (
	"io"
	"net/http"
	"strings"
	"time"

	"tidings.example/service"
)

const (
	// heartbeat keeps proxies from closing a quiet stream, and finds pages that are gone.
	heartbeat = 15 * time.Second
	// writeLimit is how long one write to a page may take.
	writeLimit = 10 * time.Second
)

// serve streams messages to one page as server-sent events, until the page
// goes, does not keep up, or the gateway drains.
func (h *hub) serve(w http.ResponseWriter, r *http.Request) error {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return nil
	}
	s := &stream{w: w, control: http.NewResponseController(w)}
	// The connection may serve another request, which must not inherit the limit.
	defer func() { _ = s.control.SetWriteDeadline(time.Time{}) }()
	p, before := h.open(r.Header.Get("Last-Event-ID"))
	defer h.close(p)
	// The page comes back after a second when the stream ends.
	if !s.write("retry: 1000\n\n", before...) || !s.write("event: live\ndata: {}\n\n") {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var alive bool
		select {
		case <-r.Context().Done():
		case <-service.Draining(r.Context()):
		case e, ok := <-p.messages:
			alive = ok && s.write("", append([]entry{e}, waitingNow(p)...)...)
		case <-beat.C:
			alive = s.write(": still here\n\n")
		}
		if !alive {
			return nil
		}
	}
}

// waitingNow returns what waits already, so that it is written at once.
func waitingNow(p *openPage) (all []entry) {
	for range waiting {
		select {
		case e, ok := <-p.messages:
			if !ok {
				return all
			}
			all = append(all, e)
		default:
			return all
		}
	}
	return all
}

// stream writes to one page.
type stream struct {
	w       io.Writer
	control *http.ResponseController
}

// write sends text and entries, and reports whether the page is still there.
func (s *stream) write(text string, entries ...entry) bool {
	var b strings.Builder
	b.WriteString(text)
	for _, e := range entries {
		b.WriteString(e.text)
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return false
	}
	if _, err := io.WriteString(s.w, b.String()); err != nil {
		return false
	}
	return s.control.Flush() == nil
}
