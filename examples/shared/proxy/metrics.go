package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics serves the figures of this process and of the services at the given
// addresses, by their names, so that one address shows all. Each figure of a service that
// runs elsewhere has a label that names it. A service that does not answer is
// left out.
func Metrics(own prometheus.Gatherer, addrs map[string]string) http.Handler {
	client := &http.Client{Timeout: 2 * time.Second}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all := prometheus.Gatherers{own}
		for name, addr := range addrs {
			all = append(all, prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
				return scrape(r.Context(), client, name, addr)
			}))
		}
		promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, r)
	})
}

func scrape(ctx context.Context, client *http.Client, name, addr string) ([]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", name, err)
	}
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", name, err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	byName, err := parser.TextToMetricFamilies(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", name, err)
	}
	label := "process"
	var families []*dto.MetricFamily
	for _, family := range byName {
		for _, m := range family.Metric {
			m.Label = append(m.Label, &dto.LabelPair{Name: &label, Value: &name})
		}
		families = append(families, family)
	}
	return families, nil
}
