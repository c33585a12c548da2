package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"tidings.example"
	"tidings.example/saga"
	"tidings.example/saga/machine"
)

const onlyAtStep = "with --all-matching, only sagas that are at this step"

func newSagaRetry(a *app) *cobra.Command {
	return newSagaChange(a, &cobra.Command{
		Use:   "retry [TYPE ID] --reason WHY",
		Short: "Try what is stuck, or waits for its next attempt, again at once",
		Long: `Retry asks the service to try again at once what is stuck or waits for its next
attempt, with all its attempts: a step, or the compensation of one.

` + ofASet,
		Example: `  tidings saga retry create-order 42 --store-url sqlite:orders.db --reason 'customers is back'
  tidings saga retry --all-matching --step reserve-credit --reason 'customers is back' --dry-run
  tidings saga retry --all-matching --type create-order --age 10m --reason 'deployed 1.4.2' --yes`,
	}, machine.RetryNow, "retry this step only; with --all-matching, of the sagas that are at it", func(*saga.Request) error { return nil })
}

func newSagaSkip(a *app) *cobra.Command {
	var replyType, reply string
	outcome := newChoice("success", "success", "failure")
	cmd := &cobra.Command{
		Use:   "skip [TYPE ID] --reason WHY",
		Short: "Take a step for done, or refused, with a reply that you give",
		Long: `Skip asks the service to take the step that is stuck or waited for as done, or with
--outcome failure as refused: for what was found out, or put right, by hand. The step's
handlers get the reply that --reply-type and --reply give. --step is needed where several
steps are stuck or waited for. A compensation that is skipped counts as done.

Nothing undoes a step that counts as refused: where you do not know whether it was or
will be done, use compensate.

` + ofASet,
		Example: `  tidings saga skip create-order 42 --outcome failure --reason 'customer was deleted'
  tidings saga skip create-order 42 --step reserve-credit --reason 'reserved by hand' \
    --reply-type CreditReserved --reply '{"reservation":"r-17"}'`,
	}
	newSagaChange(a, cmd, machine.Skip, "skip this step; with --all-matching, of the sagas that are at it", func(r *saga.Request) error {
		r.Success = outcome.value == "success"
		switch {
		case replyType == "" && reply == "":
			return nil
		case replyType == "":
			return usagef("--reply-type is missing: name the type of the reply, such as CreditReserved")
		case reply == "":
			return usagef("--reply is missing: give the reply of the type %s as JSON; {} where it has no fields", shorten(replyType, 40))
		case !json.Valid([]byte(reply)):
			return usagef("--reply is not JSON: write it as in --reply '{\"amount\":12}'")
		}
		// It becomes a message.
		m := tidings.Message{ID: tidings.NewID(), Channel: "replies", Type: replyType, Time: time.Now(), ContentType: "application/json", Payload: []byte(reply)}
		if err := m.Validate(); err != nil {
			return usagef("--reply-type and --reply: %w", err)
		}
		r.ReplyType, r.Reply = replyType, json.RawMessage(reply)
		return nil
	})
	cmd.Flags().Var(outcome, "outcome", "what the step counts as: done (success) or refused (failure)")
	cmd.Flags().StringVar(&replyType, "reply-type", "", "type of the reply that handlers get")
	cmd.Flags().StringVar(&reply, "reply", "", "the reply, as JSON")
	return cmd
}

func newSagaCompensate(a *app) *cobra.Command {
	return newSagaChange(a, &cobra.Command{
		Use:   "compensate [TYPE ID] --reason WHY",
		Short: "Undo what an unfinished saga has done",
		Long: `Compensate asks the service to give a saga up: what it has done is undone, in reverse,
as if a step had failed. A saga that is behind its pivot refuses it.

` + ofASet,
		Example: `  tidings saga compensate create-order 42 --reason 'customer has called it off'
  tidings saga compensate --all-matching --type create-order --age 24h --reason 'shop is closed' --yes`,
	}, machine.Compensate, onlyAtStep, func(*saga.Request) error { return nil })
}

func newSagaFail(a *app) *cobra.Command {
	return newSagaChange(a, &cobra.Command{
		Use:   "fail [TYPE ID] --reason WHY",
		Short: "End an unfinished saga; what it has done stays",
		Long: `Fail asks the service to end a saga as failed. What it has done stays, and is for you to
put right: prefer skip and compensate. Locks that participants hold for it are released.

` + ofASet,
		Example: `  tidings saga fail create-order 42 --reason 'put right by hand, see the ticket'
  tidings saga fail --all-matching --type create-order --state stuck --reason 'test data' --yes`,
	}, machine.Fail, onlyAtStep, func(*saga.Request) error { return nil })
}

// ofASet is a part of the help texts.
const ofASet = `Of a set: --all-matching, with --type, --state (stuck, if not given), --step and --age,
asks it of all that match, --limit at most, and needs --yes. What cannot be asked is
listed, and does not keep the others from it. --dry-run lists what would be asked, and
changes nothing.

Exit code 0: the service has done it; 3: no such saga, it has ended, or no service has
done it within --wait (the request stays); 1: some of a set could not be asked.`
