package gateway

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

//go:embed page/page.html page/page.css page/page.js
var pageFiles embed.FS

// page is one document with all that it needs. Its policy names style and
// script by their hashes, so that the browser runs and loads nothing else.
type page struct {
	body   string
	policy string
	etag   string
}

func newPage() (*page, error) {
	var texts [3]string
	for i, name := range []string{"page/page.html", "page/page.css", "page/page.js"} {
		text, err := pageFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read page: %w", err)
		}
		texts[i] = string(text)
	}
	html, style, script := texts[0], "\n"+texts[1], "\n"+texts[2]
	body := strings.NewReplacer("{{style}}", style, "{{script}}", script).Replace(html)
	return &page{
		body: body,
		policy: "default-src 'none'; style-src '" + hash(style) + "'; script-src '" + hash(script) + "'; connect-src 'self'; " +
			"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		etag: `"` + hash(body) + `"`,
	}, nil
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (p *page) serve(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", p.etag)
	if r.Header.Get("If-None-Match") == p.etag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(p.body)))
	// The browser has gone if this fails; there is nobody to tell.
	_, _ = w.Write([]byte(p.body))
	return nil
}
