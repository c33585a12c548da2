package capture

import (
	"fmt"
	"strings"

	"tidings.example/admin"
)

// Findings are what doctor says of captures; none where there are none.
func Findings(all []admin.Captured, err error) []admin.Finding {
	if err != nil {
		return []admin.Finding{{Name: "captures", Status: admin.Fail, Detail: err.Error(), Advice: "check the connection and the user's privileges on the catalog"}}
	}
	var found []admin.Finding
	for _, c := range all {
		name := c.Schema + "." + c.Table
		f := admin.Finding{Name: "capture", Status: admin.OK, Detail: fmt.Sprintf("%s goes to channel %s (%d columns, version %s)", name, c.Channel, len(c.Fields), c.Version)}
		switch {
		case len(c.Problems) > 0:
			f.Status, f.Detail = admin.Fail, name+": "+strings.Join(c.Problems, "; ")
			f.Advice = "run tidings capture install for the table again, with the settings of tidings capture show"
		case len(c.Warnings) > 0:
			f.Status, f.Detail = admin.Warn, f.Detail+"; "+strings.Join(c.Warnings, "; ")
			f.Advice = "see docs/capture.md; nothing is wrong if the service does not do that"
		}
		found = append(found, f)
	}
	return found
}

// Request is the specification that was asked for: what was chosen by default
// is chosen anew.
func (s *Settings) Request() admin.CaptureSpec {
	spec := s.Spec
	if spec.Key = nil; s.KeyGiven {
		spec.Key = s.Key
	}
	return spec
}
