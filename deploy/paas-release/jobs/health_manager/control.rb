Paas.component 'health_manager' do
  def start
    return if running_already?

    render 'health_manager.yml.erb'
    run "rm #{pid_file}"
    inside("#{package}/bin") do
      ENV['BUNDLE_GEMFILE'] = "#{package}/Gemfile"
      ruby "./health_manager -c #{config_file} #{outputs} &"
    end
  end
end
