package gateway

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// TestPageIsSelfContained: one document, whose policy lets nothing else in.
func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	p, err := newPage()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := p.serve(w, httptest.NewRequest(http.MethodGet, "/", nil)); err != nil {
		t.Fatal(err)
	}
	body := w.Body.String()
	if strings.Contains(body, "{{") {
		t.Error("a part of the page was not filled in")
	}
	if found := regexp.MustCompile(`(?i)(src|href)="?(https?:)?//|@import|url\(`).FindString(body); found != "" {
		t.Errorf("the page loads something from elsewhere: %s", found)
	}
	if found := regexp.MustCompile(`(?i)\son[a-z]+=|\sstyle=`).FindString(body); found != "" {
		t.Errorf("the page has something inline that its policy forbids: %s", found)
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy lacks %q: %s", part, policy)
		}
	}
	again := httptest.NewRequest(http.MethodGet, "/", nil)
	again.Header.Set("If-None-Match", w.Header().Get("ETag"))
	w = httptest.NewRecorder()
	if err := p.serve(w, again); err != nil || w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("an unchanged page is answered with %d and %d bytes (%v)", w.Code, w.Body.Len(), err)
	}
}
