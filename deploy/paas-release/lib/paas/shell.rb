# frozen_string_literal: true

module Paas
  # Runs commands and shows them, as everything does that a job's control.rb starts.
  module Shell
    RED = '31'
    BLUE = '34'

    # Runs a line of shell; a failure is shown in red, and no more than that.
    def run(line, as: nil)
      line = "#{as} #{line}" if as
      colored BLUE, "---> run [#{line}]"
      system(line)
      ended = Process.last_status
      report = "---> exitcode = #{ended.inspect}"
      ended.exitstatus == 0 ? puts(report) : colored(RED, report)
      ended.exitstatus
    end

    # Runs the block in another folder.
    def inside(folder)
      before = Dir.pwd
      enter(folder)
      yield
    ensure
      enter(before)
    end

    def ruby(line, as: nil)
      run("#{target}/ruby/bin/ruby #{line}", as: as)
    end

    def bundle_exec(line, as: nil)
      ruby("#{target}/ruby/bin/bundle exec #{target}/ruby/bin/ruby #{line}", as: as)
    end

    def rake(line, as: nil)
      bundle_exec("#{target}/ruby/bin/rake #{line}", as: as)
    end

    private

    def enter(folder)
      colored BLUE, "---> run [cd #{folder}]"
      Dir.chdir(folder)
    end

    def colored(color, text)
      puts "\e[49;#{color};1m#{text}\e[0m"
      # Before the lines of the command that comes next.
      $stdout.flush
    end
  end
end
