package gateway

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings.example/examples/shared/web"
)

func publishN(h *hub, from, to int) {
	for n := from; n <= to; n++ {
		h.publish(shown{ID: fmt.Sprint(n), Type: "Counted"})
	}
}

func numbers(entries []entry) (all []uint64) {
	for _, e := range entries {
		all = append(all, e.n)
	}
	return all
}

func TestPageThatOpensGetsTheLastMessages(t *testing.T) {
	t.Parallel()
	h := newHub()
	publishN(h, 1, 3*kept)
	_, before := h.open("")
	if len(before) != shownFirst || before[len(before)-1].n != 3*kept || before[0].n != 3*kept-shownFirst+1 {
		t.Errorf("a new page gets %v", numbers(before))
	}
}

func TestPageThatComesBackGetsWhatItMissed(t *testing.T) {
	t.Parallel()
	h := newHub()
	publishN(h, 1, 300)
	for lastID, want := range map[string]int{
		h.name + "/100": 200, h.name + "/300": 0, h.name + "/9999": 0,
		"other-hub/290": shownFirst, h.name + "/x": shownFirst, "nonsense": shownFirst,
	} {
		p, before := h.open(lastID)
		if len(before) != want {
			t.Errorf("after %q a page gets %d messages, want %d", lastID, len(before), want)
		}
		h.close(p)
		h.close(p) // closing twice does no harm
	}
}

// TestSlowPageIsCutOff: publishing goes on at full speed, other pages get
// everything, and the slow one is told to come back.
func TestSlowPageIsCutOff(t *testing.T) {
	t.Parallel()
	h := newHub()
	slow, _ := h.open("")
	publishN(h, 1, waiting)
	quick, _ := h.open(h.name + "/" + fmt.Sprint(waiting))
	publishN(h, waiting+1, 2*waiting)
	var got []uint64
	for e := range slow.messages {
		got = append(got, e.n)
	}
	if len(got) != waiting {
		t.Errorf("the slow page got %d messages before its end, want %d", len(got), waiting)
	}
	if n := len(quick.messages); n != waiting {
		t.Errorf("the quick page got %d messages, want %d", n, waiting)
	}
}

// TestStream reads the stream as a browser does, and comes back after a cut.
func TestStream(t *testing.T) {
	t.Parallel()
	h := newHub()
	publishN(h, 1, 3)
	routes := web.NewRoutes(web.Config{})
	routes.Handle("/events", web.Methods{http.MethodGet: h.serve})
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lines, leave := listen(t, ctx, server.URL, "")
	for _, want := range []string{"retry: 1000", `"id":"1"`, `"id":"2"`, `"id":"3"`, "event: live"} {
		lines.until(t, want)
	}
	publishN(h, 4, 4)
	lines.until(t, `"id":"4"`)
	leave()
	publishN(h, 5, 5)
	lines, leave = listen(t, ctx, server.URL, h.name+"/4")
	defer leave()
	if skipped := lines.until(t, `"id":"5"`); strings.Contains(skipped, `"id":"4"`) {
		t.Errorf("a page that comes back gets again what it has seen:\n%s", skipped)
	}
}

type lines struct{ *bufio.Scanner }

func listen(t *testing.T, ctx context.Context, url, lastID string) (lines, func()) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", lastID)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("the stream is %q", kind)
	}
	return lines{bufio.NewScanner(response.Body)}, func() { _ = response.Body.Close() }
}

// until reads up to a line with a part, and returns what came before it.
func (l lines) until(t *testing.T, part string) (before string) {
	t.Helper()
	for l.Scan() {
		if strings.Contains(l.Text(), part) {
			return before
		}
		before += l.Text() + "\n"
	}
	t.Fatalf("the stream ended before %q: %v\n%s", part, l.Err(), before)
	return ""
}
